// Config files in TOML: every value that was taken comes back from the file that to_toml() writes.
#include "config/sample_config.h"
#include "fathom/config/config_file.h"
#include "fathom/config/literal.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const std::string text = grown(in);
  testing::Sample sample, again;
  if (!accepts(text.size(), [&] { read_config_text(text, "x.toml", sample.fields); })) return;
  const std::string written = to_toml(sample.fields);
  read_config_text(written, "again.toml", again.fields);
  require(to_toml(again.fields) == written, "a configuration reads back as it was written");
  for (const std::string& notice : sample.fields.notices()) require_printable(notice);
}

}  // namespace fathom::fuzzing
