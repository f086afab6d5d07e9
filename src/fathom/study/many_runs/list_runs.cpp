#include "fathom/study/many_runs/list_runs.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/lines.h"
#include "fathom/base/text.h"
#include "fathom/io/files.h"
#include "fathom/study/many_runs/gather.h"
#include "fathom/track/run_folder.h"
#include "fathom/track/run_store.h"

namespace fathom {
namespace {

struct ListedRun {
  RunRecord record;
  RunStatus status = RunStatus::kRunning;
  std::string data;
  std::optional<int64_t> steps;  // that it is to make; unset: not known, or a plan's stages decide
  std::optional<double> loss;    // of its last training step that was stored
};

// Of a training plan: what its stages set is not in the run's configuration, but what the stage did
// in which it was started last.
bool has_plan(const std::string& run) {
  return kind_of((std::filesystem::path(runs_root()) / run / "plan.json").string()) ==
         PathKind::kFile;
}

// A run of another version, whose configuration has other keys, is listed as well.
void add_settings(ListedRun& run) {
  std::map<std::string, std::string> settings;
  try {
    settings = settings_of(run.record.config_toml, run.record.name);
  } catch (const Error&) {
    return;
  }
  run.data = settings["dataset"];
  const std::optional<int64_t> steps = parse_number<int64_t>(settings["max_iters"]);
  if (steps && *steps > 0 && !has_plan(run.record.name)) run.steps = steps;
}

bool is_asked(const std::vector<std::string>& patterns, const std::string& name) {
  return patterns.empty() || std::any_of(patterns.begin(), patterns.end(), [&](const auto& p) {
           return fnmatch(p.c_str(), name.c_str(), 0) == 0;
         });
}

void check_patterns(const std::vector<std::string>& patterns,
                    const std::vector<RunRecord>& records) {
  for (const std::string& pattern : patterns)
    if (std::none_of(records.begin(), records.end(), [&](const RunRecord& r) {
          return fnmatch(pattern.c_str(), r.name.c_str(), 0) == 0;
        }))
      misuse(fmt::format("no run's name is as {}", in_quotes(pattern)),
             "`fathom runs` shows them all");
}

ListedRun listed(const RunStore& store, RunRecord record) {
  ListedRun run;
  run.status = store.status_now(record);
  if (const auto loss = store.last_point(record.name, "train/loss")) run.loss = loss->value;
  run.record = std::move(record);
  add_settings(run);
  return run;
}

std::string time_text(double seconds) {
  return fmt::format("{:%Y-%m-%d %H:%M}", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

std::string steps_text(const ListedRun& run) {
  const int64_t done = std::max<int64_t>(run.record.last_step, 0);
  return run.steps && *run.steps != done
             ? fmt::format("{}/{}", with_commas(done), with_commas(*run.steps))
             : with_commas(done);
}

std::vector<report::Cell> row_of(const ListedRun& run) {
  const RunRecord& r = run.record;
  const auto number = [](const std::optional<double>& x) {
    return x ? report::Cell(*x) : report::Cell();
  };
  return {r.name,
          r.experiment,
          run.data,
          steps_text(run),
          number(run.loss),
          number(r.best_value),
          std::string(status_name(run.status)),
          time_text(r.updated_at)};
}

nlohmann::json json_of(const ListedRun& run) {
  const RunRecord& r = run.record;
  nlohmann::json out = {{"name", r.name},
                        {"preset", r.experiment},
                        {"dataset", run.data},
                        {"state", status_name(run.status)},
                        {"step", r.last_step},
                        {"created_at", r.created_at},
                        {"updated_at", r.updated_at}};
  if (run.steps) out["max_iters"] = *run.steps;
  if (run.loss && std::isfinite(*run.loss)) out["loss"] = *run.loss;
  if (r.best_value)
    out["best"] = {{"metric", r.best_metric}, {"step", r.best_step}, {"value", *r.best_value}};
  return out;
}

report::Table table_of(const std::vector<ListedRun>& runs) {
  const report::NumberForm fixed4 = {report::NumberForm::Kind::kFixed, 4};
  report::Table table;
  using report::Narrow;
  table.columns = {{"run", report::Align::kLeft, {}, {}, Narrow::kWhole},
                   {"preset", report::Align::kLeft, {}, {}, Narrow::kFold},
                   {"data", report::Align::kLeft, {}, {}, Narrow::kLeftOut},
                   {"steps"},
                   {"loss", report::Align::kRight, fixed4},
                   {"best", report::Align::kRight, fixed4},
                   {"state", report::Align::kLeft, {}, {}, Narrow::kWhole},
                   {"changed (UTC)", report::Align::kLeft, {}, {}, Narrow::kLeftOut}};
  for (const ListedRun& run : runs) table.rows.push_back(row_of(run));
  return table;
}

}  // namespace

report::Report list_runs(const RunListChoice& choice) {
  report::Report out;
  out.title = "runs";
  out.values = nlohmann::json::array();
  const std::string path = run_store_path();
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    out.add(report::Paragraph{
        fmt::format("There are no runs below {} yet: `fathom list` shows what can be trained.",
                    escaped(runs_root()))});
    return out;
  }
  RunStoreOptions options;
  options.read_only = true;
  const RunStore store(path, options);
  const std::vector<RunRecord> records = store.runs();
  check_patterns(choice.patterns, records);
  std::vector<ListedRun> runs;
  size_t more = 0;
  for (const RunRecord& record : records) {
    if (!is_asked(choice.patterns, record.name)) continue;
    if (choice.most > 0 && static_cast<int64_t>(runs.size()) >= choice.most)
      ++more;
    else
      runs.push_back(listed(store, record));
  }
  for (const ListedRun& run : runs) out.values.push_back(json_of(run));
  out.add(table_of(runs));
  if (more > 0)
    out.add(
        report::Paragraph{fmt::format("{} more: --most=0 shows all.",
                                      counted(static_cast<int64_t>(more), "run is", "runs are"))},
        report::kInTerminal);
  return out;
}

}  // namespace fathom
