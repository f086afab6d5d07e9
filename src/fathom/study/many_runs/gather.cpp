#include "fathom/study/many_runs/gather.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/config_file.h"
#include "fathom/config/literal.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"
#include "fathom/study/many_runs/stored_series.h"
#include "fathom/study/many_runs/sweep_record.h"
#include "fathom/study/many_runs/used_up.h"
#include "fathom/track/run_folder.h"
#include "fathom/track/stored_run.h"

namespace fathom {

std::map<std::string, std::string> settings_of(const std::string& text, const std::string& name) {
  std::map<std::string, std::string> settings;
  const auto take = [&](const std::string& key, const nlohmann::ordered_json& value) {
    settings[key] = value.is_string() ? value.get<std::string>() : to_literal(value);
  };
  const nlohmann::ordered_json tree = read_toml_tree(text, name);
  for (const auto& [key, value] : tree.items()) {
    if (value.is_object())
      for (const auto& [inner, setting] : value.items()) take(inner, setting);
    else
      take(key, value);
  }
  return settings;
}

namespace {

constexpr uint64_t kMostPlanBytes = 4 << 20;

struct Asked {
  std::string run;    // a name or a folder
  std::string label;  // what its sweep calls its setting
  std::string word;   // that named it
};

bool is_pattern(const std::string& word) {
  return word.find_first_of("*?[") != std::string::npos;
}

// By name, so that a group's order does not depend on when its runs were last touched.
std::vector<std::string> matching(const std::string& pattern) {
  std::vector<std::string> names = run_names(), found;
  std::sort(names.begin(), names.end());
  for (const std::string& name : names)
    if (fnmatch(pattern.c_str(), name.c_str(), 0) == 0) found.push_back(name);
  if (found.empty())
    misuse(fmt::format("no run's name is as {}", in_quotes(pattern)),
           names.empty() ? "there are no runs yet" : "`fathom runs` shows them all");
  return found;
}

void add_sweep(const std::string& path, std::vector<Asked>& asked,
               std::vector<std::string>& notices) {
  const SweepRecipe recipe = read_sweep_file(path);
  std::map<std::string, std::string> labels;
  for (const SweepSetting& setting : recipe.settings)
    if (setting.is_named) labels[setting.name] = setting.name;
  size_t missing = 0;
  for (const SweepRun& run : runs_of(recipe, "")) {
    const FolderUse use = folder_use(run_folder(run.name));
    if (use == FolderUse::kRun || use == FolderUse::kHeld)
      asked.push_back({run.name, labels.count(run.setting) > 0 ? labels[run.setting] : "", ""});
    else
      ++missing;
  }
  if (missing > 0)
    notices.push_back(
        fmt::format("{} runs of the sweep {} are not there yet", missing, recipe.name));
}

std::vector<Asked> asked_runs(const std::vector<std::string>& words,
                              std::vector<std::string>& notices) {
  std::vector<Asked> asked;
  for (const std::string& word : words) {
    const size_t before = asked.size();
    const std::string recipe = stored_recipe(word);
    if (is_pattern(word))
      for (const std::string& name : matching(word)) asked.push_back({name, "", ""});
    else if (!recipe.empty())
      add_sweep(recipe, asked, notices);
    else
      asked.push_back({word, "", ""});
    for (size_t i = before; i < asked.size(); ++i) asked[i].word = word;
  }
  return asked;
}

// A run's plan.json says what its stages set; the configuration in the store has the values of the
// stage in which it was started last. Two plans are alike if their
// stages are.
void take_plan(const std::string& text, const std::string& path,
               std::map<std::string, std::string>& settings) {
  const nlohmann::json plan = parse_json(text, path);
  for (const char* key : {"dataset", "max_iters"}) settings.erase(key);
  const nlohmann::json steps = plan.is_object() ? plan.value("steps", nlohmann::json()) : plan;
  for (const nlohmann::json& step : steps) {
    if (!step.is_object() || !step.contains("overrides")) continue;
    for (const auto& [key, value] : step.at("overrides").items()) settings.erase(key);
  }
  settings["training_plan"] = xxh3_hex(as_bytes(json_text(steps))).substr(0, 8);
}

RunFacts facts_of(const StoredRun& run, const RunRecord& record, const std::string& label) {
  RunFacts facts{run.name, record.experiment, settings_of(record.config_toml, run.name), label};
  const std::string plan =
      (std::filesystem::path(run.store).parent_path() / run.name / "plan.json").string();
  if (kind_of(plan) == PathKind::kFile)
    take_plan(read_text_file(plan, kMostPlanBytes), plan, facts.settings);
  return facts;
}

// Nothing: it has no numbers.
std::optional<GatheredRun> read_run(const StoredRun& run, const std::string& label,
                                    const std::string& metric, std::vector<std::string>& notices) {
  const RunStore store = open_store(run);
  const RunRecord record = *store.find(run.name);
  const std::vector<Point> points = series_of(store, record, metric);
  if (points.empty()) {
    const std::vector<std::string> names = store.metric_names(run.name);
    if (!names.empty()) refuse_metric(run.name, metric, names);
    notices.push_back(fmt::format("{} has no numbers yet and is left out", run.name));
    return std::nullopt;
  }
  GatheredRun out;
  out.facts = facts_of(run, record, label);
  for (const Point& point : points) {
    out.steps.push_back(static_cast<double>(point.step));
    out.values.push_back(point.value);
  }
  out.tokens = UsedUp(store, run.name, "tokens").at(out.steps);
  out.flops = UsedUp(store, run.name, "flops").at(out.steps);
  out.seconds = UsedUp(store, run.name, "seconds").at(out.steps);
  if (const RunStatus status = store.status_now(record); status != RunStatus::kDone)
    notices.push_back(fmt::format("{} is {} at step {}", run.name, status_name(status),
                                  with_commas(record.last_step)));
  return out;
}

}  // namespace

std::vector<GatheredRun> gather(const std::vector<std::string>& words, const std::string& metric,
                                std::vector<std::string>& notices) {
  std::vector<GatheredRun> runs;
  std::set<std::pair<std::string, std::string>> seen;
  for (const Asked& asked : asked_runs(words, notices)) {
    const StoredRun run = stored_run(asked.run);
    if (!seen.emplace(run.store, run.name).second) continue;
    if (auto read = read_run(run, asked.label, metric, notices)) {
      read->word = asked.word;
      if (read->steps.size() > 1)
        runs.push_back(std::move(*read));
      else
        notices.push_back(
            fmt::format("{} has one value of {} only and is left out", run.name, metric));
    }
  }
  return runs;
}

}  // namespace fathom
