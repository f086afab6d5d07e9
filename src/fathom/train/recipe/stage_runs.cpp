#include "fathom/train/recipe/stage_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "fathom/base/text.h"
#include "fathom/train/recipe/consequences.h"
#include "fathom/train/recipe/data_options.h"
#include "fathom/train/recipe/numbers_options.h"
#include "fathom/train/recipe/plan_data.h"
#include "fathom/train/recipe/plan_keys.h"
#include "fathom/train/recipe/stage_data.h"
#include "fathom/train/recipe/training_plan.h"

namespace fathom {
namespace {

constexpr const char* kPrepareAlike =
    "prepare both texts with the same one, for example --tokenizer=byte or gpt2";

// Corpora by the name they were opened under; of generated ones each has its own settings.
struct Opened {
  const RunData& data;
  std::map<std::pair<std::string, std::string>, Corpus> corpora = {};
};

const Corpus& open_once(const std::string& name, const RunConfig& config, Opened& opened,
                        std::vector<std::string>& notices) {
  const std::pair key(name, name == kNumbers ? fingerprint_of(numbers_of(config)) : "");
  const auto found = opened.corpora.find(key);
  if (found != opened.corpora.end()) return found->second;
  return opened.corpora.emplace(key, opened.data.open(name, config, notices)).first->second;
}

void require_splits(const Corpus& corpus, const RunConfig& config) {
  for (const char* split : {"train", "val"}) corpus.require_split(split);
  const ModelConfig& model = config.model;
  require_block(corpus, model.backbone.block_size);
  if (model.ahead.predict_ahead)
    require_shifts(corpus, model.backbone.block_size, model.ahead.max_shift);
  require_programs(corpus, config);
}

void require_dataset(const std::string& dataset) {
  if (!dataset.empty()) return;
  const std::vector<std::string> prepared = prepared_corpora();
  misuse("dataset is missing: this preset has no corpus of its own",
         prepared.empty()
             ? "prepare one with `fathom prepare shakespeare_char`, then add "
               "--dataset=shakespeare_char; --dataset=numbers needs no preparation"
             : "add --dataset=NAME; prepared: " + join(prepared, ", ") + "; numbers is generated");
}

// What resolving `base` says once more, stage by stage.
std::set<std::string> said_already(RunConfig base) {
  FieldList list;
  add_fields(list, base);
  const std::vector<std::string> said = resolve(list, base);
  return {said.begin(), said.end()};
}

// What is worth saying of data that a configuration asks for.
void add_coverage(const RunConfig& config, const std::vector<Corpus>& corpora,
                  std::vector<std::string>& notices) {
  for (const Corpus& corpus : corpora) {
    std::string said = coverage_notice(corpus, data_options(config, "train", /*evaluation=*/false));
    if (!said.empty()) notices.push_back(std::move(said));
  }
}

// The configuration's `dataset` becomes the names under which it was opened.
std::vector<Corpus> stage_data(RunConfig& config, Opened& opened,
                               std::vector<std::string>& notices) {
  require_dataset(config.data.dataset);
  require_objective(config);
  std::vector<Corpus> corpora;
  std::vector<std::string> names;
  for (const std::string& part : opened.data.parts(config.data.dataset)) {
    names.push_back(opened.data.prepared(part));
    corpora.push_back(open_once(names.back(), config, opened, notices));
    require_splits(corpora.back(), config);
  }
  config.data.dataset = join(names, ",");
  return corpora;
}

std::string shown_vocabulary(const Corpus& corpus) {
  const Tokenizer* tokenizer = corpus.tokenizer();
  return fmt::format("{} ({}, vocabulary {})", corpus.name(),
                     tokenizer == nullptr ? "tokenizer unknown" : tokenizer->kind(),
                     with_commas(corpus.vocab_size()));
}

bool speak_alike(const Corpus& a, const Corpus& b) {
  if (!a.is_generated() && a.path() == b.path()) return true;
  if (a.tokenizer() != nullptr && b.tokenizer() != nullptr)
    return a.tokenizer()->to_json() == b.tokenizer()->to_json();
  return a.vocab_size() == 0 || b.vocab_size() == 0 || a.vocab_size() == b.vocab_size();
}

// Of all stages; ids mean the same text in every one of them.
void check_tokenizers(ResolvedPlan& resolved) {
  const Corpus* first = nullptr;
  std::string first_stage;
  for (const StageRun& stage : resolved.stages)
    for (const Corpus& corpus : stage.corpora) {
      if (first == nullptr) {
        first = &corpus;
        first_stage = stage.name;
      }
      if (speak_alike(*first, corpus)) {
        // One that knows its tokenizer is what the others are compared with.
        if (first->tokenizer() == nullptr && corpus.tokenizer() != nullptr) first = &corpus;
        continue;
      }
      resolved.mistakes.emplace_back(
          ErrorKind::kUsage,
          fmt::format("the stages {} and {} have different tokenizers: {} and {}", first_stage,
                      stage.name, shown_vocabulary(*first), shown_vocabulary(corpus)),
          kPrepareAlike);
      return;
    }
}

// base with the stage's overrides, through `list`; resolved. Of a budget that is not in steps
// max_iters is 0.
void set_overrides(const Stage& stage, FieldList& list, RunConfig& config,
                   std::vector<std::string>& notices) {
  for (const auto& [key, text] : stage.overrides) {
    // An experiment's own, which another one of that name may allow.
    if (const Field* field = list.find(key); field && !may_differ_between_stages(*field))
      refuse_for_stages(*field, "it", stage.budget);
    list.set_text(key, text, "overrides");
  }
  const bool by_steps = stage.budget.unit == Budget::Unit::kSteps;
  config.training.max_iters = by_steps ? static_cast<int64_t>(stage.budget.amount) : 0;
  notices = resolve(list, config);
  if (!by_steps) return;
  if (std::string note = rate_left_high_in_stage(list, config); !note.empty())
    notices.push_back(std::move(note));
}

// max_iters becomes what the budget comes to, whatever it was in the run's configuration, for a
// checkpoint's configuration must not tell where a run was interrupted.
void settle_steps(StageRun& run, const RunConfig& base, std::vector<std::string>& notices) {
  if (run.budget.unit == Budget::Unit::kSteps) return;
  constexpr int64_t kMost = 1'000'000'000'000;
  const std::optional<int64_t> steps = forecast(run).steps;
  run.config.training.max_iters = std::min(steps.value_or(base.training.max_iters), kMost);
  const ScheduleConfig& s = run.config.schedule;
  if (steps && s.decay_lr && s.warmup_iters >= *steps)
    notices.push_back(fmt::format("warmup_iters = {}: its {} steps never reach learning_rate",
                                  s.warmup_iters, with_commas(*steps)));
}

void check_end(const StageRun& run, const DataSet& data) {
  if (run.budget.unit != Budget::Unit::kEpochs || data.samples()) return;
  misuse(fmt::format("a budget of {} has no meaning for {}: its data has no end",
                     to_text(run.budget), run.config.data.dataset),
         "give the stage steps, samples or tokens");
}

StageRun look_at(const Stage& stage, const RunConfig& base, const std::set<std::string>& said,
                 Opened& opened, ResolvedPlan& resolved) {
  StageRun run = {stage.name, base, stage.budget, {}};
  const auto at = [&](const std::string& sentence) {
    return fmt::format("the stage {}: {}", stage.name, sentence);
  };
  std::vector<std::string> notices;
  try {
    RunConfig config = base;
    FieldList list;
    add_fields(list, config);
    set_overrides(stage, list, config, notices);
    run.config = config;
    run.corpora = stage_data(run.config, opened, notices);
    check_end(run, *training_data(run));  // which throws where corpora do not go together
    settle_steps(run, base, notices);
    add_coverage(run.config, run.corpora, notices);
    for (std::string& idle : keys_without_rows(list, run.corpora)) notices.push_back(idle);
  } catch (const Error& e) {
    resolved.mistakes.emplace_back(e.kind(), at(e.what()), e.hint());
  }
  for (const std::string& notice : notices)
    if (said.count(notice) == 0) resolved.notices.push_back(at(notice));
  return run;
}

}  // namespace

std::vector<Corpus> open_data(const RunConfig& config, std::vector<std::string>& notices,
                              const RunData& data) {
  require_dataset(config.data.dataset);
  require_objective(config);
  std::vector<Corpus> corpora;
  for (const std::string& part : data.parts(config.data.dataset)) {
    corpora.push_back(data.open(part, config, notices));
    const Corpus& corpus = corpora.back();
    for (std::string& notice : corpus.notices()) notices.push_back(std::move(notice));
    require_splits(corpus, config);
    if (!speak_alike(corpora.front(), corpus))
      misuse(fmt::format("{} and {} have different tokenizers", shown_vocabulary(corpora.front()),
                         shown_vocabulary(corpus)),
             kPrepareAlike);
  }
  add_coverage(config, corpora, notices);
  return corpora;
}

ResolvedPlan look_over(const TrainingPlan& plan, const RunConfig& base, const RunData& data) {
  ResolvedPlan resolved;
  const std::set<std::string> said = said_already(base);
  Opened opened = {data};
  for (const Stage& stage : plan.stages)
    resolved.stages.push_back(look_at(stage, base, said, opened, resolved));
  for (const auto& [name, corpus] : opened.corpora)
    for (const std::string& notice : corpus.notices())
      resolved.notices.push_back(fmt::format("{}: {}", escaped(name.first), notice));
  check_tokenizers(resolved);
  return resolved;
}

std::vector<StageRun> resolve_plan(const TrainingPlan& plan, const RunConfig& base,
                                   std::vector<std::string>& notices, const RunData& data) {
  ResolvedPlan resolved = look_over(plan, base, data);
  if (!resolved.mistakes.empty()) throw Error(resolved.mistakes.front());
  for (std::string& notice : resolved.notices) notices.push_back(std::move(notice));
  return std::move(resolved.stages);
}

TrainingPlan completed(const TrainingPlan& plan, const RunConfig& base,
                       const std::vector<StageRun>& stages) {
  std::vector<RunConfig> configs = {base};
  for (const StageRun& stage : stages) configs.push_back(stage.config);
  std::vector<FieldList> lists(configs.size());
  for (size_t i = 0; i < configs.size(); ++i) add_fields(lists[i], configs[i]);
  TrainingPlan out = plan;
  for (Stage& stage : out.stages) stage.overrides.clear();
  for (size_t f = 0; f < lists[0].all().size(); ++f) {
    const Field& field = lists[0].all()[f];
    if (!may_differ_between_stages(field)) continue;
    const bool is_set = std::any_of(plan.stages.begin(), plan.stages.end(), [&](const Stage& s) {
      return std::any_of(s.overrides.begin(), s.overrides.end(),
                         [&](const auto& o) { return o.first == field.name(); });
    });
    const bool differs = std::any_of(lists.begin(), lists.end(), [&](const FieldList& list) {
      return list.all()[f].value() != field.value();
    });
    if (!is_set && !differs) continue;
    for (size_t i = 0; i < out.stages.size(); ++i)
      out.stages[i].overrides.emplace_back(field.name(), as_override(lists[i + 1].all()[f]));
  }
  return out;
}

std::vector<std::string> keys_of_every_stage(const TrainingPlan& plan) {
  std::map<std::string, size_t> stages;
  for (const Stage& stage : plan.stages)
    for (const auto& [key, text] : stage.overrides) ++stages[key];
  std::vector<std::string> keys;
  for (const auto& [key, count] : stages)
    if (count == plan.stages.size()) keys.push_back(key);
  return keys;
}

}  // namespace fathom
