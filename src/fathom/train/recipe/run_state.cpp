#include "fathom/train/recipe/run_state.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/fields.h"
#include "fathom/config/literal.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/train/recipe/evaluations.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/wiring_description.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr int kFormatVersion = 2;
constexpr uint64_t kMaxStateBytes = 64 << 20;

json progress_json(const Progress& p) {
  return {{"samples", p.samples},
          {"samples_before", p.samples_before},
          {"tokens", p.tokens},
          {"seconds", p.seconds},
          {"flops", std::isfinite(p.flops) ? json(p.flops) : json(nullptr)}};
}

json config_json(RunConfig config) {
  FieldList list;
  add_fields(list, config);
  json out = {{"preset", config.preset}};
  if (config.model.architecture != nullptr) out["architecture"] = config.model.architecture->name;
  for (const Field& field : list.all()) out[field.name()] = field.value();
  return out;
}

int64_t count_from_json(const json& j, const char* key, int64_t least = 0) {
  const json& value = j.at(key);
  if (!value.is_number_integer() || value < least || value > INT64_MAX)
    fail(fmt::format("{} = {} is not a count", escaped(key), shown_json(value)));
  return value;
}

Progress progress_from_json(const json& j) {
  Progress p;
  p.samples = count_from_json(j, "samples");
  p.samples_before = count_from_json(j, "samples_before");
  p.tokens = count_from_json(j, "tokens");
  const json& seconds = j.at("seconds");
  if (!seconds.is_number() || !(seconds.get<double>() >= 0))
    fail(fmt::format("seconds = {} is no time", shown_json(seconds)));
  p.seconds = seconds;
  const json flops = j.value("flops", json(nullptr));
  if (!flops.is_null() && !(flops.is_number() && flops.get<double>() >= 0))
    fail(fmt::format("flops = {} is no count", shown_json(flops)));
  p.flops = flops.is_null() ? std::numeric_limits<double>::quiet_NaN() : flops.get<double>();
  return p;
}

// Of a run that had every step alike, before it was counted.
Progress progress_of_steps(const RunConfig& config, int64_t step) {
  Progress p;
  const int64_t n = config.sequences_per_step();
  if (step > INT64_MAX / std::max<int64_t>(config.tokens_per_step(), 1))
    fail(fmt::format("{} steps are more than can be counted", step));
  p.samples = step * n;
  p.samples_before = std::max<int64_t>(step - 1, 0) * n;
  p.tokens = step * config.tokens_per_step();
  if (step > 0) p.flops = std::numeric_limits<double>::quiet_NaN();
  return p;
}

// One that messages may show.
std::string text_from_json(const json& j, const char* key) {
  constexpr size_t kLongest = 256;  // it is shown to people
  const json& value = j.at(key);
  if (!value.is_string() || !is_printable(value.get_ref<const std::string&>()) ||
      value.get_ref<const std::string&>().size() > kLongest)
    fail(fmt::format("{} = {} is not a plain text of at most {} bytes", key, shown_json(value),
                     kLongest));
  return value;
}

// The experiment that the run belongs to may be a folder that this build was made without.
std::shared_ptr<const Architecture> registered_architecture(const std::string& preset,
                                                            const std::string& name) {
  std::shared_ptr<const Architecture> known;
  if (registry().has(preset)) known = preset_config(preset).model.architecture;
  if (known == nullptr || known->name != name)
    fail(
        fmt::format("it is of the experiment {} (preset {}), which this build does not have: its "
                    "folder is to be named by -DFATHOM_EXPERIMENTS",
                    in_quotes(name), in_quotes(preset)));
  return known;
}

RunConfig config_from_json(const json& values) {
  RunConfig config;
  config.preset = text_from_json(values, "preset");
  if (values.contains("architecture"))
    config.model.architecture =
        registered_architecture(config.preset, text_from_json(values, "architecture"));
  FieldList list;
  add_fields(list, config);
  for (const auto& [key, value] : values.items())
    if (key != "preset" && key != "architecture") list.set(key, value, "config");
  validate(config.model);
  return config;
}

// Runs of before called the objective's series "val/loss". Where the objective is the last layer's
// loss and nothing else, it has the same numbers under the name of today.
std::string series_of_today(const std::string& name, const ModelConfig& model) {
  if (name != "val/loss") return name;
  const bool is_loss =
      model.supervision.layer_supervision.choice == "last" && model.architecture == nullptr;
  return is_loss ? "eval/val/loss" : "eval/val/objective";
}

// The ids of shift tokens are rows of the token table.
void check_vocabulary(const RunState& state) {
  if (!state.config.model.ahead.predict_ahead) return;
  const int64_t text = text_vocab(state);
  if (text < 1 || state.config.model.backbone.vocab_size.value_or(text) != text)
    fail(fmt::format("a token table of {} rows does not hold the text's {} and {} shift tokens",
                     state.vocab_size, state.config.model.backbone.vocab_size.value_or(1),
                     state.config.model.ahead.shift_tokens()));
}

RunState state_from_json(const json& j) {
  RunState state;
  state.config = config_from_json(j.at("config"));
  state.vocab_size = count_from_json(j, "vocab_size");
  check_vocabulary(state);
  state.step = count_from_json(j, "step");
  state.optimizer_steps = count_from_json(j, "optimizer_steps");
  if (j.contains("moments_begun"))
    for (const auto& [name, value] : j.at("moments_begun").items())
      state.moments_begun[name] = count_from_json(j.at("moments_begun"), name.c_str());
  state.progress = j.contains("progress") ? progress_from_json(j.at("progress"))
                                          : progress_of_steps(state.config, state.step);
  if (j.contains("stage")) {
    const json& stage = j.at("stage");
    state.stage = text_from_json(stage, "name");
    state.stage_start_step = count_from_json(stage, "start_step");
    if (state.stage_start_step > state.step)
      fail(fmt::format("the stage begins at step {}, after step {}", state.stage_start_step,
                       state.step));
    state.stage_start = progress_from_json(stage.at("start"));
    state.plan = std::make_shared<const json>(stage.at("plan"));
  }
  state.cursor = j.at("cursor").get<Cursor>();
  state.corpus_fingerprint = text_from_json(j, "corpus_fingerprint");
  state.best_metric = series_of_today(text_from_json(j, "best_metric"), state.config.model);
  // JSON has no infinity: null is "none yet".
  state.best_value = j.at("best_value").is_null() ? std::numeric_limits<double>::infinity()
                                                  : j.at("best_value").get<double>();
  state.evaluated_step = count_from_json(j, "evaluated_step", /*least=*/-1);
  if (const json& tokenizer = j.at("tokenizer"); !tokenizer.is_null())
    state.tokenizer = std::make_shared<const json>(tokenizer);
  const json& guards = j.at("guards");
  state.skipped_steps = count_from_json(guards, "skipped_steps");
  state.rollbacks = count_from_json(guards, "rollbacks");
  state.losses = OutlierWindow(state.config.guards.spike_window);
  state.gradient_norms = OutlierWindow(state.config.guards.spike_window);
  from_json(guards.at("losses"), state.losses);
  from_json(guards.at("gradient_norms"), state.gradient_norms);
  return state;
}

}  // namespace

json to_json(const RunState& state) {
  const json guards = {{"skipped_steps", state.skipped_steps},
                       {"rollbacks", state.rollbacks},
                       {"losses", state.losses},
                       {"gradient_norms", state.gradient_norms}};
  json out = {{"format_version", kFormatVersion},
              {"config", config_json(state.config)},
              {"vocab_size", state.vocab_size},
              {"step", state.step},
              {"optimizer_steps", state.optimizer_steps},
              {"progress", progress_json(state.progress)},
              {"cursor", state.cursor},
              {"corpus_fingerprint", state.corpus_fingerprint},
              {"best_metric", state.best_metric},
              {"best_value", state.best_value},
              {"evaluated_step", state.evaluated_step},
              {"tokenizer", state.tokenizer == nullptr ? json() : *state.tokenizer},
              {"guards", guards}};
  if (state.plan != nullptr)
    out["stage"] = {{"name", state.stage},
                    {"start_step", state.stage_start_step},
                    {"start", progress_json(state.stage_start)},
                    {"plan", *state.plan}};
  if (const json wiring = given_wiring_json(state.config.model); !wiring.is_null())
    out["wiring"] = wiring;
  if (!state.moments_begun.empty()) out["moments_begun"] = state.moments_begun;
  return out;
}

RunState load_state(const std::string& folder) {
  const std::string path = folder_to_read(folder) + "/state.json";
  const std::string text = read_text_file(path, kMaxStateBytes);
  std::string damage;
  try {
    const json j = parse_json(text, "it");
    const json& version = j.at("format_version");
    if (version == kFormatVersion) return state_from_json(j);
    damage = fmt::format("format_version is {}, this program reads {}", shown_json(version),
                         kFormatVersion);
  } catch (const json::exception& e) {
    damage = e.what();
  } catch (const Error& e) {
    damage = e.what();
  }
  fail(fmt::format("{} cannot be used: {}", path, damage),
       "take another checkpoint of the run, or the version of fathom that wrote it");
}

namespace {

// The values of a configuration's keys that decide what is read, given its corpora.
json reading(RunConfig config, bool training) {
  FieldList list;
  add_fields(list, config);
  json values;
  for (const char* key : {"block_size", "seed", "include_prompts", "long_rows", "row_overlap",
                          "pack_rows", "mixture", "mixture_weights", "predict_ahead"})
    values[key] = list.find(key)->value();
  if (training)
    for (const char* key : {"sampling", "shuffle_rows"}) values[key] = list.find(key)->value();
  return values;
}

// A threshold that is not said is its rule's own: as if it were.
void settle_threshold(HaltingConfig& halting) {
  if (!halting.threshold) halting.threshold = default_threshold(halting.rule);
}

// The evaluations as they are made, however they were written.
json evaluations_of(const RunConfig& config) {
  json out = json::array();
  try {
    for (const EvaluationSpec& one : parse_evaluations(config.training.evaluations, config.model)) {
      ModelConfig model = with_settings(one, config.model);
      settle_threshold(model.halting);
      FieldList list;
      add_fields(list, model);
      json policy;
      for (const Field& field : list.all())
        if (field.is_of_policy()) policy[field.name()] = field.value();
      out.push_back({one.name, one.split, one.batches ? json(*one.batches) : json(), policy});
    }
  } catch (const Error&) {  // of a state that says none: it is told where they are made
    return config.training.evaluations;
  }
  return out;
}

// Keys that say how a training row's shift is drawn.
bool draws_shifts(const std::string& key) {
  return key == "label_shift_prob" || key == "shift_dist" || key == "shift_zipf_a";
}

}  // namespace

bool reads_alike(const RunState& a, const RunState& b) {
  return a.corpus_fingerprint == b.corpus_fingerprint &&
         reading(a.config, true) == reading(b.config, true);
}

bool compares(const RunState& a, const RunState& b) {
  const auto measure = [](const RunState& s) {
    FieldList list;
    ModelConfig model = s.config.model;
    settle_threshold(model.halting);
    add_fields(list, model);
    json settings;
    for (const Field& field : list.all())
      // What acts in training alone is left out.
      if (field.name().find("dropout") == std::string::npos && !draws_shifts(field.name()))
        settings[field.name()] = field.value();
    const TrainingConfig& t = s.config.training;
    return json{settings,
                reading(s.config, false),
                s.corpus_fingerprint,
                s.best_metric,
                t.seed,
                static_cast<int>(t.dtype),
                s.config.sequences_per_evaluation(),
                evaluations_of(s.config)};
  };
  return measure(a) == measure(b);
}

bool has_other_tokenizer(const RunState& state, const Tokenizer& tokenizer) {
  return state.tokenizer != nullptr && *state.tokenizer != tokenizer.to_json();
}

std::vector<std::string> changes(RunConfig from, RunConfig to) {
  FieldList before, after;
  add_fields(before, from);
  add_fields(after, to);
  std::vector<std::string> out;
  for (size_t i = 0; i < after.all().size(); ++i) {
    const Value was = before.all()[i].value(), is = after.all()[i].value();
    if (was != is)
      out.push_back(
          fmt::format("{} = {} (was {})", after.all()[i].name(), to_literal(is), to_literal(was)));
  }
  return out;
}

}  // namespace fathom
