// The checkpoint manifest: raw bytes, and a body with the checksum that is right for it. There is
// one text for one list of files, and nothing else is accepted.
#include "fathom/io/checkpoint_manifest.h"

#include "fathom/io/files.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const bool sealed = in.below(2) == 1;
  std::string text = grown(in);
  if (sealed) text += "  \"checksum\": \"" + xxh3_hex(as_bytes(text)) + "\"\n}\n";
  std::vector<ManifestFile> files;
  if (!accepts(text.size(), [&] { files = parse_manifest(as_bytes(text), "runs/x/last"); })) return;
  require(manifest_text(files) == text, "an accepted manifest is the one text of its list");
  for (const ManifestFile& file : files) require(is_plain_file_name(file.name), "names are plain");
}

}  // namespace fathom::fuzzing
