// The Bible as the program `bible` prints it: lines that begin with the number of a verse.
#include "fathom/data/source_text.h"

#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  static const Folder folder;
  const std::string text = in.rest();
  KnownCorpus known;
  known.name = "kjv";
  known.verse_numbers = true;
  PrepareOptions options;
  options.input = folder.write("verses.txt", text);
  accepts(text.size(), [&] {
    const SourceText stripped = load_source_text(options, &known, {});
    require(stripped.view().size() <= text.size(), "numbers only go");
  });
}

}  // namespace fathom::fuzzing
