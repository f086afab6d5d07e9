#include "fathom/cli/plan/request.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/io/files.h"
#include "fathom/io/json_text.h"
#include "fathom/train/recipe/plan_table.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/run_arguments.h"
#include "fathom/train/recipe/suggested_words.h"
#include "fathom/train/recipe/training_plan.h"

namespace fathom {
namespace {

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
  line.suggests([] {
    std::vector<Suggestion> plans = suggested_plans();
    plans.insert(plans.begin(), {"list", "the built-in plans"});
    return plans;
  });
  line.positional("EXPERIMENT", preset, "a preset that `fathom list` shows: what is to be trained",
                  /*required=*/false);
  line.suggests(suggested_presets);
  line.takes_config_files();
  const auto make_list = [&] {
    FieldList list;
    list.section("output");
    list.add("json", json, "print one JSON object").usual();
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
  if (name == "list" && kind_of(name) == PathKind::kNothing) {
    list_plans(json);
    return 0;
  }

  WrittenPlan written = find_plan(name, config.preset);
  for (std::vector<std::string>& more : std::vector{resolve(list, config), written.notices})
    for (std::string& notice : more) report.notices.push_back(std::move(notice));
  ResolvedPlan resolved = look_over(written.plan, config);
  report.plan = std::move(written.plan);
  report.preset = config.preset;
  report.stages = std::move(resolved.stages);
  report.mistakes = std::move(resolved.mistakes);
  for (std::string& notice : resolved.notices) report.notices.push_back(std::move(notice));
  check_fit(report);
  if (json)
    fmt::print("{}\n", json_text(to_json(report), 2));
  else
    print_report(report);
  return report.mistakes.empty() ? 0 : 2;
}

}  // namespace fathom
