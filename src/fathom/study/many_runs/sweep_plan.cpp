#include "fathom/study/many_runs/sweep_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/config_file.h"
#include "fathom/config/path_text.h"
#include "fathom/io/files.h"
#include "fathom/io/scratch_folder.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/study/many_runs/sweep_record.h"
#include "fathom/track/run_folder.h"
#include "fathom/track/run_store.h"

namespace fathom {
namespace {

constexpr const char* kPlanOption = "--training_plan=";

// A recipe's own plan in a file, while it is checked.
class TemporaryPlan {
 public:
  explicit TemporaryPlan(const std::string& json) {
    if (json.empty()) return;
    folder_.emplace("sweep");
    path_ = folder_->file("plan.json");
    write_file_durably(path_, as_bytes(json));
  }

  const std::string& path() const { return path_; }

 private:
  std::optional<ScratchFolder> folder_;
  std::string path_;
};

// What the sweep was when it was begun; nothing: it was not.
std::optional<SweepRecipe> begun_recipe(const std::string& name) {
  const std::string path = recipe_path(name);
  if (kind_of(path) == PathKind::kNothing) return std::nullopt;
  return read_sweep_file(path);
}

class Planner {
 public:
  Planner(SweepPlan& plan, const ParseTraining& parse)
      : plan_(plan),
        parse_(parse),
        checked_(plan.recipe.plan_json),
        begun_(begun_recipe(plan.recipe.name)) {
    if (begun_)
      for (SweepRun& run : runs_of(*begun_, plan_path(begun_->name)))
        begun_words_[run.name] = std::move(run.words);
    if (kind_of(run_store_path()) == PathKind::kFile) {
      settle_killed_runs(run_store_path());
      store_.emplace(run_store_path(), RunStoreOptions{/*read_only=*/true});
    }
  }

  PlannedRun plan(const SweepRun& run) {
    check_run_name(run.name);
    PlannedRun planned{run};
    planned.now = state_of(run);
    if (planned.now != RunNow::kNew) require_same(run);
    if (planned.now != RunNow::kComplete) check(planned);
    return planned;
  }

 private:
  RunNow state_of(const SweepRun& run) const {
    const std::string folder = run_folder(run.name);
    switch (folder_use(folder)) {
      case FolderUse::kFree:
      case FolderUse::kLeftOver:
        return RunNow::kNew;
      case FolderUse::kHeld:
        misuse(fmt::format("the run {} is being trained by another process", run.name),
               "let it end, or stop it with a signal; then type the same command again");
      case FolderUse::kOther:
        misuse(fmt::format("{} is there and is no run", folder),
               "call the sweep otherwise (name = \"...\"), or move what is there away");
      case FolderUse::kRun:
        break;
    }
    const auto record = store_ ? store_->find(run.name) : std::nullopt;
    return record && record->status == RunStatus::kDone ? RunNow::kComplete : RunNow::kUnfinished;
  }

  // A run that is there is this sweep's, and was begun as it would be now.
  void require_same(const SweepRun& run) const {
    const auto begun = begun_words_.find(run.name);
    const std::string hint = "call the sweep otherwise (name = \"...\"), or remove that run";
    if (begun == begun_words_.end())
      misuse(fmt::format("the run {} is there already, and no sweep {} has made it", run.name,
                         plan_.recipe.name),
             hint);
    if (begun->second == run.words && begun_->plan_json == plan_.recipe.plan_json) return;
    std::string differs = "its training plan";
    for (const std::string& word : run.words)
      if (std::find(begun->second.begin(), begun->second.end(), word) == begun->second.end())
        differs = escaped(word);
    misuse(fmt::format("the run {} was begun under other settings: {} is new", run.name, differs),
           hint);
  }

  // As `fathom train` does before it becomes the engine.
  void check(PlannedRun& planned) const {
    std::vector<std::string> words = planned.words();
    for (std::string& word : words)
      if (!checked_.path().empty() && word.rfind(kPlanOption, 0) == 0)
        word = kPlanOption + checked_.path();
    std::optional<TrainRequest> request;
    try {
      request = parse_(words);
    } catch (const Error& e) {
      throw Error(e.kind(), fmt::format("{}: {}", planned.run.name, e.what()), e.hint());
    }
    if (!request) {
      planned.now = RunNow::kComplete;  // its last step was made before it could say so
      return;
    }
    if (total_steps(*request) == 0) return;  // minutes, say
    for (const StageRun& stage : request->stages) {
      const RunConfig& config = stage.config;
      const double tokens = static_cast<double>(config.training.max_iters) *
                            static_cast<double>(config.tokens_per_step());
      planned.tokens += tokens;
      planned.flops += tokens * flops_per_token(config.model, request->vocab_size,
                                                config.model.backbone.block_size)
                                    .training();
    }
  }

  SweepPlan& plan_;
  const ParseTraining& parse_;
  const TemporaryPlan checked_;
  const std::optional<SweepRecipe> begun_;
  std::map<std::string, std::vector<std::string>> begun_words_;
  std::optional<RunStore> store_;
};

struct Speed {
  std::string run;
  double flops_per_s = 0;  // 0: no run has said
};

// Of the newest run that tells.
Speed known_speed() {
  try {
    const RunStore store(run_store_path(), RunStoreOptions{/*read_only=*/true});
    for (const RunRecord& record : store.runs()) {
      const auto flops = store.series(record.name, "train/flops");
      const auto seconds = store.series(record.name, "train/seconds");
      if (flops.empty() || seconds.empty() || !(seconds.back().value > 0) ||
          !(flops.back().value > 0))
        continue;
      return {record.name, flops.back().value / seconds.back().value};
    }
  } catch (const Error&) {
    // No store, or one that cannot be read now: an estimate is not worth an error.
  }
  return {};
}

std::string what_is_left(const SweepPlan& plan) {
  double tokens = 0, flops = 0;
  bool known = true;
  size_t left = 0;
  for (const PlannedRun& run : plan.runs) {
    if (run.now == RunNow::kComplete) continue;
    ++left;
    tokens += run.tokens;
    flops += run.flops;
    known = known && run.tokens > 0;
  }
  if (left == 0) return "nothing is left to do\n";
  std::string out = fmt::format("left: {} runs", left);
  if (!known) return out + "; how long some of them are is known when they are done\n";
  out += fmt::format(", at most {} tokens and {} FLOPs", human_count(tokens), human_count(flops));
  if (const Speed speed = known_speed(); speed.flops_per_s > 0)
    out +=
        fmt::format(", about {} at the {} FLOP/s of {}", human_duration(flops / speed.flops_per_s),
                    human_count(speed.flops_per_s), speed.run);
  return out + "\n";
}

}  // namespace

std::vector<std::string> PlannedRun::words() const {
  if (now == RunNow::kNew) return run.words;
  std::vector<std::string> words;
  for (const std::string& word : run.words)  // a run has its plan
    if (word.rfind(kPlanOption, 0) != 0) words.push_back(word);
  words.emplace_back("--resume");
  return words;
}

size_t SweepPlan::count(RunNow now) const {
  return static_cast<size_t>(std::count_if(runs.begin(), runs.end(),
                                           [&](const PlannedRun& run) { return run.now == now; }));
}

SweepPlan plan_sweep(const std::string& recipe_file, const ParseTraining& parse) {
  SweepPlan plan;
  std::string path = recipe_file;
  if (kind_of(path) == PathKind::kNothing || kind_of(path) == PathKind::kFolder)
    if (const std::string stored = stored_recipe(path); !stored.empty()) path = stored;
  plan.text = read_sweep_text(path);
  plan.recipe = read_sweep(plan.text, path);
  Planner planner(plan, parse);
  for (const SweepRun& run : runs_of(plan.recipe, plan_path(plan.recipe.name)))
    plan.runs.push_back(planner.plan(run));
  return plan;
}

std::string described(const SweepPlan& plan) {
  std::string out = fmt::format(
      "{}: {} runs, {} settings and {} seeds; {} are complete, {} are begun\n", plan.recipe.name,
      plan.runs.size(), plan.recipe.settings.size(), plan.recipe.seeds.size(),
      plan.count(RunNow::kComplete), plan.count(RunNow::kUnfinished));
  for (const PlannedRun& run : plan.runs) {
    if (run.now == RunNow::kComplete) {
      out += fmt::format("  {} is complete\n", run.run.name);
      continue;
    }
    out += "  fathom train";
    for (const std::string& word : run.words()) out += " " + shell_word(word);
    out += "\n";
  }
  return out + what_is_left(plan);
}

}  // namespace fathom
