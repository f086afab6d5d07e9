#include "fathom/train/recipe/description.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/base/visible.h"
#include "fathom/config/config_file.h"
#include "fathom/config/path_text.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/track/run_folder.h"
#include "fathom/track/terminal.h"
#include "fathom/train/recipe/fits_memory.h"
#include "fathom/train/recipe/given_instead.h"
#include "fathom/train/recipe/parameter_groups.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/run_arguments.h"
#include "fathom/train/recipe/run_checkpoint.h"
#include "fathom/train/recipe/training_plan.h"
#include "fathom/train/recipe/wiring_description.h"

namespace fathom {
namespace {

struct Description {
  RunConfig config;
  int64_t vocab = 0;
  std::vector<ParameterSpec> table;
  Flops flops;
  MemoryEstimate memory;
};

int64_t known_vocabulary(const RunConfig& config, int64_t given) {
  return given > 0 ? given : likely_corpus_vocab(config);
}

Description describe(const RunConfig& config, int64_t vocabulary) {
  Description d;
  d.config = config;
  d.vocab = settled_vocab_size(config, known_vocabulary(config, vocabulary));
  d.table = parameter_table(config.model, d.vocab);
  const int64_t T = config.model.backbone.block_size;
  d.flops = flops_per_token(config.model, d.vocab, T);
  d.memory = estimated_memory(config, d.vocab);
  return d;
}

// By part, in the order in which parts first appear.
std::vector<std::pair<Part, int64_t>> by_part(const std::vector<ParameterSpec>& table) {
  std::vector<std::pair<Part, int64_t>> sums;
  for (const ParameterSpec& spec : table) {
    auto it = std::find_if(sums.begin(), sums.end(), [&](auto& s) { return s.first == spec.part; });
    if (it == sums.end()) it = sums.insert(sums.end(), {spec.part, 0});
    it->second += spec.count();
  }
  return sums;
}

// Of tokens and positions.
int64_t without_embeddings(const std::vector<ParameterSpec>& table) {
  int64_t n = parameter_count(table);
  for (const ParameterSpec& spec : table)
    if (spec.part == Part::kTokenTable || spec.part == Part::kPositionTable) n -= spec.count();
  return n;
}

nlohmann::json to_json(const Description& d, const FieldList& list) {
  nlohmann::json parts, config;
  for (const auto& [part, count] : by_part(d.table)) parts[part_name(part)] = count;
  for (const Field& field : list.all()) config[field.name()] = field.value();
  const Objective objective = objective_of(d.config.model.supervision);
  return {{"preset", d.config.preset},
          {"objective", to_text(objective)},
          {"objective_hash", objective_hash(objective)},
          {"vocab_size", d.vocab},
          {"parameters", parameter_count(d.table)},
          {"parameters_without_embeddings", without_embeddings(d.table)},
          {"parameters_by_part", parts},
          {"wiring", wiring_json(d.config.model)},
          {"flops_per_token_forward", d.flops.forward()},
          {"flops_per_token_training", d.flops.training()},
          {"tokens_per_step", d.config.tokens_per_step()},
          {"training_memory_bytes", d.memory.total()},
          {"config", config}};
}

void print_parameters(const Description& d, const Style& style) {
  const int64_t total = parameter_count(d.table);
  int64_t decayed = 0, frozen = 0;
  fmt::print("{}\n", style.bold("parameters"));
  for (const auto& [part, count] : by_part(d.table)) {
    fmt::print("  {:<18}{:>15}  {:5.1f} %\n", part_name(part), with_commas(count),
               100.0 * static_cast<double>(count) / static_cast<double>(total));
  }
  if (d.config.model.backbone.tie_head) fmt::print("  {:<18}{:>15}\n", "head", "token table");
  const std::vector<ParameterSetting> settings = parameter_settings(d.config.optimizer, d.table);
  for (size_t i = 0; i < d.table.size(); ++i) {
    if (settings[i].frozen)
      frozen += d.table[i].count();
    else if (settings[i].weight_decay > 0)
      decayed += d.table[i].count();
  }
  for (const auto& [what, count] : {std::pair{"total", total},
                                    {"without embeddings", without_embeddings(d.table)},
                                    {"weight-decayed", decayed}})
    fmt::print("  {:<18}{:>15}\n", what, with_commas(count));
  if (frozen > 0) fmt::print("  {:<18}{:>15}\n", "frozen", with_commas(frozen));
}

void print_wiring(const Description& d, const Style& style) {
  fmt::print("\n{}\n", style.bold("blocks"));
  for (const auto& [what, said] : wiring_lines(d.config.model))
    fmt::print("  {:<18}{}\n", what, hanging(visible(said), 20, terminal_width(stdout)));
}

void print_cost(const Description& d, const Style& style) {
  const int64_t T = d.config.model.backbone.block_size;
  fmt::print("\n{} in training (multiplications and additions, context {})\n",
             style.bold("FLOPs per token"), T);
  for (const auto& [name, value] : {std::pair{"attention linears", d.flops.attention_linear},
                                    {"attention scores", d.flops.attention_scores},
                                    {"MLP", d.flops.mlp},
                                    {"head", d.flops.head},
                                    {"gates, adapters", d.flops.doors},
                                    {"own", d.flops.own}})
    if (value > 0) fmt::print("  {:<18}{:>15}\n", name, human_count(value));
  const LoopingConfig& looping = d.config.model.looping;
  if (looping.loops())
    fmt::print("  {:<18}{:>15}   of {}, by the mean counts of its loops\n", "layers passed",
               fmt::format("{:.1f}", effective_layers(looping, d.config.model.backbone.n_layer)),
               d.config.model.backbone.n_layer);
  fmt::print("  {:<18}{:>15}\n  {:<18}{:>15}   a step of {} tokens: {}\n", "forward",
             human_count(d.flops.forward()), "training", human_count(d.flops.training()),
             with_commas(d.config.tokens_per_step()),
             human_count(d.flops.training() * static_cast<double>(d.config.tokens_per_step())));
  fmt::print("\n{} (estimate, float32, {} sequences at once)\n", style.bold("training memory"),
             d.config.micro_batch_size());
  for (const auto& [name, value] : {std::pair{"parameters", d.memory.parameters},
                                    {"gradients", d.memory.gradients},
                                    {"optimiser", d.memory.optimizer},
                                    {"activations", d.memory.activations},
                                    {"total", d.memory.total()}})
    fmt::print("  {:<18}{:>15}\n", name, human_bytes(value));
}

// "PRESET on mine, 250 of 2,000 steps, best eval/val/loss 1.6178".
std::string what_it_is(const RunState& state) {
  const std::string& data = state.config.data.dataset;
  const int64_t steps = state.config.training.max_iters;
  std::string text =
      fmt::format("{}{}, ", state.config.preset, data.empty() ? "" : " on " + escaped(data));
  if (!state.stage.empty())
    text += fmt::format("{}, in the stage {}", counted(state.step, "step"), state.stage);
  else if (state.step < steps)
    text += fmt::format("{} of {}", with_commas(state.step), counted(steps, "step"));
  else
    text += counted(state.step, "step");
  if (std::isfinite(state.best_value) && !state.best_metric.empty())
    text += fmt::format(", best {} {:.4f}", state.best_metric, state.best_value);
  return text;
}

int64_t vocabulary_of(const std::optional<DescribedRun>& run) {
  return run ? text_vocab(run->state) : 0;
}

}  // namespace

std::optional<DescribedRun> described_run(const std::string& name) {
  if (name.empty() || registry().has(name)) return std::nullopt;
  const auto is_run = [](const std::string& folder) {
    const FolderUse use = folder_use(folder);
    return use == FolderUse::kRun || use == FolderUse::kHeld;
  };
  std::string folder = runs_root() + "/" + name;
  if (!is_run(folder)) folder = home_expanded(name);
  if (!is_run(folder)) {
    if (name.find('/') != std::string::npos && !given_instead(name))
      resolve_run(name);  // says what it is
    return std::nullopt;
  }
  try {
    return DescribedRun{name, verified_state(run_checkpoint(name, "last"))};
  } catch (const Error&) {  // another one may be there, and whole
  }
  return DescribedRun{name, verified_state(run_checkpoint(name, "auto"))};
}

nlohmann::json description_json(const RunConfig& described,
                                const std::optional<DescribedRun>& run) {
  RunConfig config = described;
  FieldList shown;
  add_fields(shown, config);
  nlohmann::json out = to_json(describe(config, vocabulary_of(run)), shown);
  if (run) out["run"] = {{"name", path_to_text(run->name)}, {"step", run->state.step}};
  return out;
}

void print_description(const RunConfig& described, const std::vector<std::string>& notices,
                       const std::optional<DescribedRun>& run) {
  const int64_t vocabulary = vocabulary_of(run);
  RunConfig config = described;
  const Description d = describe(config, vocabulary);
  FieldList shown;
  add_fields(shown, config);
  const Style style(stdout);
  const int width = terminal_width(stdout);
  const std::string name = run ? escaped(run->name) : config.preset;
  const std::string what = run ? what_it_is(run->state) : registry().preset(config.preset).summary;
  fmt::print("{}: {}\n", style.bold(name), hanging(what, text_width(name) + 2, width));
  for (const std::string& notice : notices)
    fmt::print("note: {}\n", hanging(visible(notice), 6, width));
  fmt::print("\n");
  print_parameters(d, style);
  fmt::print("  {:<18}{:>15}{}\n", "vocabulary", with_commas(d.vocab),
             config.model.backbone.vocab_size || known_vocabulary(config, vocabulary) > 0
                 ? ""
                 : "  GPT-2's; training takes the corpus's");
  print_wiring(d, style);
  print_cost(d, style);
  if (config.model.supervision.has_objective()) {
    const Objective objective = objective_of(config.model.supervision);
    fmt::print("\n{} ({})\n  {}\n", style.bold("objective"), objective_hash(objective),
               hanging(visible(to_text(objective)), 2, width));
  }
  fmt::print("\n{}\n{}", style.bold("settings"), to_toml(shown));
}

void print_plan(const TrainingPlan& plan) {
  fmt::print("\n{} {}\n", Style(stdout).bold("training plan"), visible(plan.name));
  for (const std::string& line : to_text(plan))
    fmt::print("  {}\n", hanging(visible(line), 4, terminal_width(stdout)));
}

}  // namespace fathom
