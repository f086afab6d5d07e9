// `fathom prepare CORPUS|FILE`
#include "fathom/data/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>

#include "fathom/base/stop_signal.h"
#include "fathom/base/text.h"
#include "fathom/cli/verbs.h"
#include "fathom/config/path_text.h"
#include "fathom/data/numbers/example.h"
#include "fathom/io/json_text.h"
#include "fathom/machine/machine.h"
#include "fathom/track/console.h"
#include "fathom/track/stage_line.h"
#include "fathom/train/recipe/prepared_corpus.h"

namespace fathom {
namespace {

std::string known_names() {
  std::vector<std::string> names;
  for (const KnownCorpus& corpus : known_corpora()) names.push_back(corpus.name);
  return join(names, ", ");
}

// What is generated needs no folder.
int tell_generated(const FieldList& fields, bool json) {
  for (const Field& field : fields.all())
    if (fields.given(field.name()) && field.name() != "json")
      say_note(fmt::format("{} has no effect: {} is generated", field.name(), kNumbers));
  print_generated(json);
  return 0;
}

struct Stopped : std::exception {};

int run_prepare(const Arguments& arguments) {
  CommandLine line("prepare", "CORPUS|FILE [--input FILE ...] [--key=value ...]",
                   "Turn text or JSON lines into a corpus below data/. Known by name: " +
                       known_names() + ".\n" + std::string(kNumbers) +
                       " is generated while it is read and needs no preparation.\nOf corpora of "
                       "documents, --input takes JSON lines, Parquet, archives and texts, also "
                       "packed.",
                   "fathom prepare notes.txt --name=notes --tokenizer=byte");
  PrepareOptions options;
  bool json = false;
  line.positional("CORPUS|FILE", options.what,
                  "a known corpus (" + known_names() + ") or a text file");
  line.suggests([] {
    std::vector<Suggestion> known;
    for (const KnownCorpus& corpus : known_corpora()) known.push_back({corpus.name, corpus.source});
    return known;
  });
  FieldList fields;
  add_fields(fields, options);
  fields.section("output");
  fields.add("json", json, "print one JSON object");
  line.takes_config_files();  // further files of --input
  const auto settings = line.parse(arguments, fields);
  if (!settings) return 0;
  options.what = home_expanded(options.what);
  for (const auto& setting : *settings)
    setting.key.empty() ? options.more_inputs.push_back(home_expanded(setting.text))
                        : fields.set_text(setting.key, setting.text, setting.origin);
  if (options.what == kNumbers) return tell_generated(fields, json);
  const KnownCorpus* known = find_known_corpus(options.what);
  if (known != nullptr && known->has_documents && !fields.given("val_fraction"))
    options.val_fraction = known->val_fraction;
  for (const std::string& idle : without_effect(fields)) say_note(idle);
  if (const auto memory = free_memory(read_system_file))
    options.most_in_memory = std::min(options.most_in_memory, memory->available / 4 * 3);

  const StopSignal stop_signal;
  StageLine progress;
  PrepareReport report;
  try {
    report = prepare(
        options,
        [&](const std::string& stage, uint64_t done, uint64_t total) {
          if (StopSignal::received() != 0) throw Stopped();
          progress.show(stage, done, total);
        },
        [&](const std::string& warning) { progress.clear(), say_note(warning); });
  } catch (const std::exception&) {
    progress.clear();
    // Also where the signal itself was the end of what was being done.
    if (StopSignal::received() == 0) throw;
    say(stderr, "stopped by a signal, no corpus was written\n");
    return 128 + StopSignal::received();
  }
  progress.clear();
  if (json)
    fmt::print("{}\n", json_text(to_json(report), 2));
  else
    print_report(report);
  return 0;
}

}  // namespace

Verb verb_prepare() {
  return {"prepare", "turn text into a corpus", 40, run_prepare};
}

}  // namespace fathom
