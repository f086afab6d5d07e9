// Paths of any bytes, as texts and back, and the names that corpora get from them.
#include "fathom/config/path_text.h"
#include "fathom/data/corpus_name.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const std::string path = in.rest();
  const std::string name = corpus_name_of(path);
  require(!name.empty() && name.size() <= 100 && name[0] != '.', "a name is one of a folder");
  require(is_utf8(name) && is_printable(name) && name.find('/') == name.npos, "it can be shown");
  require(corpus_name_of(name) == name, "a name is its own name");
  require(is_printable(shell_word(path)), "a word can be typed");
  path_from_text(path);
  if (path.find('\0') != path.npos) return;  // no path holds one
  const std::string text = path_to_text(path);
  require(is_utf8(text), "texts are UTF-8");
  require(path_from_text(text) == path, "a path comes back from its text");
}

}  // namespace fathom::fuzzing
