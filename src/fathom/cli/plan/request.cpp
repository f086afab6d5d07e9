#include "fathom/cli/plan/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "fathom/base/text.h"
#include "fathom/base/visible.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"
#include "fathom/track/console.h"
#include "fathom/track/terminal.h"
#include "fathom/train/recipe/built_in_plans.h"
#include "fathom/train/recipe/fits_memory.h"
#include "fathom/train/recipe/parameter_groups.h"
#include "fathom/train/recipe/plan_table.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/run_arguments.h"
#include "fathom/train/recipe/training_plan.h"

namespace fathom {
namespace {

// "wiki_en, wiki_es are missing"
std::string shown_missing(const std::vector<std::string>& missing) {
  if (missing.empty()) return "all data is prepared";
  return "not prepared: " + join(missing, ", ");
}

int list_plans(bool as_json) {
  nlohmann::json out = nlohmann::json::array();
  const Style style(stdout);
  for (const BuiltInPlan& built_in : built_in_plans()) {
    const std::vector<std::string> missing = missing_data(built_in.plan);
    out.push_back({{"name", built_in.plan.name},
                   {"summary", built_in.summary},
                   {"stages", to_text(built_in.plan)},
                   {"chosen_here", built_in.is_ours},
                   {"missing", missing}});
    if (as_json) continue;
    fmt::print("{}{}: {}\n", style.bold(built_in.plan.name), built_in.is_ours ? " *" : "",
               built_in.summary);
    for (const std::string& line : to_text(built_in.plan)) fmt::print("    {}\n", line);
    fmt::print("    {}\n", shown_missing(missing));
  }
  if (as_json) {
    fmt::print("{}\n", json_text(out, 2));
    return 0;
  }
  fmt::print(
      "\n* only the name is LMPlay's, what is in it was chosen here. `fathom plan NAME` says how\n"
      "to prepare what is missing, `fathom train EXPERIMENT --training_plan=NAME` trains.\n");
  return 0;
}

// What the plan's own words cannot tell: whether each stage fits this machine.
void check_stages(PlanReport& report) {
  int64_t vocab = 0;
  for (const StageRun& stage : report.stages)
    for (const Corpus& corpus : stage.corpora) vocab = std::max(vocab, corpus.vocab_size());
  for (const StageRun& stage : report.stages) {
    if (stage.corpora.empty()) continue;  // that was told
    try {
      const int64_t settled = settled_vocab_size(stage.config, vocab);
      require_memory(stage.config, settled, /*training=*/true);
      parameter_settings(stage.config.optimizer, parameter_table(stage.config.model, settled));
    } catch (const Error& e) {
      report.mistakes.emplace_back(e.kind(), fmt::format("the stage {}: {}", stage.name, e.what()),
                                   e.hint());
    }
  }
}

void print_mistakes(const std::vector<Error>& mistakes) {
  const Style style(stderr);
  for (const Error& mistake : mistakes) {
    say_raw(stderr,
            fmt::format("{} {}\n", style.red("fathom:"), visible(std::string(mistake.what()))));
    if (!mistake.hint().empty())
      say_raw(stderr, fmt::format("{} {}\n", style.yellow("HINT:"), visible(mistake.hint())));
  }
}

std::string typed_preset(const Arguments& arguments) {
  for (const std::string& word : arguments)
    if (registry().has(word)) return word;
  return "";
}

}  // namespace

int run_plan(const Arguments& typed) {
  CommandLine line("plan", "PLAN|list [EXPERIMENT] [CONFIG_FILE ...] [--key=value ...]",
                   "What each stage of a training plan would do, and every mistake in it. PLAN is "
                   "a file, or a name that `fathom plan list` shows.",
                   "fathom plan tinystories " + registry().example());
  Arguments arguments = typed;  // `plan check PLAN` is the same as `plan PLAN`
  if (arguments.size() > 1 && arguments[0] == "check" && arguments[1].rfind('-', 0) != 0)
    arguments.erase(arguments.begin());
  std::string name, preset, config_file;
  bool json = false;
  RunConfig config;
  line.positional("PLAN", name, "a plan's file, or a built-in one's name; list shows those");
  line.positional("EXPERIMENT", preset, "a preset that `fathom list` shows: what is to be trained",
                  /*required=*/false);
  line.takes_config_files();
  const auto make_list = [&] {
    FieldList list;
    list.section("output");
    list.add("json", json, "print one JSON object");
    list.add("config", config_file, "a TOML or nanoGPT config file; a bare path does the same")
        .path();
    add_fields(list, config);
    return list;
  };
  const std::string named = typed_preset(arguments);
  config = preset_config(named.empty() ? registry().example() : named);
  const auto settings = line.parse(arguments, make_list());
  if (!settings) return 0;
  PlanReport report;
  if (preset.empty() && name != "list") {
    preset = registry().example();
    report.notices.push_back("no EXPERIMENT is named: this is for " + preset);
  }
  config = preset_config(preset.empty() ? registry().example() : preset);
  FieldList list = make_list();
  for (std::string& notice : apply_settings(*settings, config.preset, list))
    report.notices.push_back(std::move(notice));
  if (name == "list" && kind_of(name) == PathKind::kNothing) return list_plans(json);

  WrittenPlan written = find_plan(name);
  for (std::vector<std::string>& more : std::vector{resolve(list, config), written.notices})
    for (std::string& notice : more) report.notices.push_back(std::move(notice));
  ResolvedPlan resolved = look_over(written.plan, config);
  report.plan = std::move(written.plan);
  report.preset = config.preset;
  report.stages = std::move(resolved.stages);
  report.mistakes = std::move(resolved.mistakes);
  for (std::string& notice : resolved.notices) report.notices.push_back(std::move(notice));
  check_stages(report);
  if (json)
    fmt::print("{}\n", json_text(to_json(report), 2));
  else
    print_report(report);
  if (!json) print_mistakes(report.mistakes);
  return report.mistakes.empty() ? 0 : 2;
}

}  // namespace fathom
