#include "fathom/cli/bench/request.h"

#include <fmt/format.h>

#include <set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/train/recipe/fits_memory.h"
#include "fathom/train/recipe/other_names.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/run_arguments.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom {
namespace {

BenchKind bench_kind(const std::string& what) {
  if (what == "step") return BenchKind::kStep;
  if (what == "decode") return BenchKind::kDecode;
  if (what == "ops") return BenchKind::kOps;
  misuse(fmt::format("{} cannot be measured, allowed: step, decode, ops", in_quotes(what)),
         suggestion(what, {"step", "decode", "ops"}, "fathom bench --help"));
}

bool is_of_whole_training(const std::string& key) {
  static const std::set<std::string> all = {
      "eval_interval", "eval_iters",   "validation_interval", "validation_batch_size",
      "save_interval", "log_interval", "log_format",          "sample_interval",
      "sample_prompt", "eval_only",    "checkpoint_interval", "keep_checkpoints"};
  return all.count(key) > 0;
}

// What the measured part does not do.
void add_needs(FieldList& list, const BenchKind& kind) {
  const auto steps = [&kind] { return kind == BenchKind::kStep; };
  for (const Field& field : list.all()) {
    const std::string& section = field.section();
    // The processor's threads and the place of the weights count for all of them.
    const bool trains = section == "optimizer" || section == "spectral" || section == "schedule" ||
                        section == "guards";
    const bool splits = field.name() == "gradient_accumulation_steps" || field.name() == "sampling";
    if (trains || splits || field.name() == "dtype" || field.name() == "recompute_blocks")
      list.find(field.name())->needs("bench step", steps);
    if (is_of_whole_training(field.name()))
      list.find(field.name())->needs("a training: nothing is evaluated, saved or logged here", [] {
        return false;
      });
  }
  // Operations are measured on the processor, with kernels and without.
  list.find("device")->needs("bench step or decode", [&kind] { return kind != BenchKind::kOps; });
  for (const char* key : {"batch_size", "mini_batch_size"})
    list.find(key)->needs("bench step or ops", [&kind] { return kind != BenchKind::kDecode; });
}

}  // namespace

std::optional<BenchRequest> parse_bench(const Arguments& arguments) {
  CommandLine line("bench", "WHAT EXPERIMENT [CONFIG_FILE ...] [--key=value ...]",
                   "Time training steps (step), tokens one by one (decode) or the operations of a "
                   "step (ops), on random tokens.",
                   "fathom bench step quickstart --repeats=10");
  std::string what, preset, config_file;
  BenchRequest request;
  line.positional("WHAT", what, "step, decode or ops");
  line.suggests([] { return as_suggestions({"step", "decode", "ops"}); });
  line.positional("EXPERIMENT", preset, "a preset that `fathom list` shows");
  line.suggests(suggested_presets);
  line.takes_config_files();
  const auto make_list = [&] {
    FieldList list;
    list.section("measuring");
    list.add("repeats", request.repeats, "times that are measured; the middle one is reported")
        .at_least(3)
        .at_most(1'000'000)
        .usual();
    list.add("sequences", request.sequences, "with decode: texts that grow side by side")
        .at_least(1)
        .at_most(4096)
        .usual();
    list.add("json", request.json, "print one JSON object").usual();
    list.add("config", config_file, "a TOML or nanoGPT config file; a bare path does the same");
    add_fields(list, request.config);
    // How many steps are measured is `repeats`, no matter of how long a run lasts.
    explain_other_names(list, [](const Field& field) {
      return field.name() != "max_iters" && !is_of_whole_training(field.name());
    });
    add_needs(list, request.kind);
    return list;
  };
  const Arguments without_what(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  if (const std::string name = named_preset(without_what); registry().has(name))
    request.config = preset_config(name);
  const auto settings = line.parse(arguments, make_list());
  if (!settings) return std::nullopt;
  request.kind = bench_kind(what);
  request.config = preset_config(preset);
  FieldList list = make_list();
  request.notices = apply_settings(*settings, preset, list);
  for (std::string& notice : resolve(list, request.config))
    request.notices.push_back(std::move(notice));
  request.vocab_size = settled_vocab_size(request.config, likely_corpus_vocab(request.config));
  if (request.kind != BenchKind::kDecode && request.sequences != 1)
    misuse(fmt::format("sequences = {}, and {} decodes nothing", request.sequences, what),
           "--batch_size is how many sequences a training step has");
  const DepthPlan plan = make_depth_plan(request.config.model);
  if (request.kind == BenchKind::kDecode && !predicts_next_token(plan))
    misuse(fmt::format("{} {}: its texts cannot be grown", preset,
                       plan.answers.empty() ? "is not causal" : "answers " + plan.answers),
           "`fathom bench step` measures its training");
  require_memory(request.config, request.vocab_size, request.kind == BenchKind::kStep);
  if (request.kind == BenchKind::kDecode)  // half of the window is there from the start
    require_memory(request.config, request.vocab_size,
                   4.0 * static_cast<double>(request.sequences) *
                       static_cast<double>(request.config.model.backbone.block_size),
                   fmt::format("{} texts of {} tokens", with_commas(request.sequences),
                               with_commas(request.config.model.backbone.block_size)),
                   "sequences or block_size");
  return request;
}

}  // namespace fathom
