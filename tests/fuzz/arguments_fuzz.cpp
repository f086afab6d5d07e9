// The words of a command line, one a line: those that are options set what they say.
#include <nlohmann/json.hpp>

#include "config/sample_config.h"
#include "fathom/config/command_line.h"
#include "fathom/config/literal.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {
namespace {

// A value that was taken, spelled by the program, is the same again.
void check_given(FieldList& fields) {
  for (const Field& field : fields.all()) {
    if (field.origin().empty()) continue;
    const Value value = field.value();
    const std::string text = value.is_string() ? value.get<std::string>() : to_literal(value);
    fields.set_text(field.name(), text, "again");
    require(to_literal(field.value()) == to_literal(value), "a value is taken as it is spelled");
  }
}

}  // namespace

FATHOM_FUZZ(in) {
  Arguments words;
  while (!in.empty()) words.push_back(in.text('\n'));
  testing::Sample sample;
  std::string what;
  CommandLine line("train", "EXPERIMENT [options]", "Trains.", "fathom train x");
  line.positional("EXPERIMENT", what, "what to train");
  line.takes_config_files();
  const bool accepted = accepts(1 << 12, [&] {
    const auto settings = line.parse(words, sample.fields);
    if (!settings) return;  // help
    for (const auto& setting : *settings)
      if (!setting.key.empty()) sample.fields.set_text(setting.key, setting.text, setting.origin);
  });
  for (const std::string& notice : sample.fields.notices()) require_printable(notice);
  if (accepted) check_given(sample.fields);
  if (!words.empty())
    line.completions({words.begin(), words.end() - 1}, words.back(), sample.fields);
}

}  // namespace fathom::fuzzing
