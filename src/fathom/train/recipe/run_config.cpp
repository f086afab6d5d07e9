#include "fathom/train/recipe/run_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/train/recipe/baseline.h"
#include "fathom/train/recipe/data_options.h"
#include "fathom/train/recipe/evaluations.h"
#include "fathom/train/recipe/freeze.h"
#include "fathom/train/recipe/numbers_options.h"
#include "fathom/train/recipe/other_names.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom {
namespace {

constexpr int64_t kGpt2Vocab = 50257;

void add_data_fields(FieldList& list, DataConfig& c) {
  list.section("data");
  list.add("dataset", c.dataset,
           "a prepared corpus, a folder with token shards, or numbers: arithmetic that is "
           "generated (section numbers); several by commas are mixed")
      .path()
      .alias("input")
      .usual()
      .suggests(suggested_corpora);
  list.add<Sampling>("sampling", c.sampling,
                     "random: windows drawn with replacement; sequential: the shards in order; "
                     "batches: in order by whole passes of mini_batch_size (else batch_size) "
                     "rows, and evaluations from the beginning of their split, as scripts with "
                     ".npy shards read them",
                     {{"random", Sampling::kRandom},
                      {"sequential", Sampling::kSequential},
                      {"batches", Sampling::kBatches}})
      .alias("data_order");
  list.add("batch_size", c.batch_size,
           "sequences of one forward pass; of one optimiser step if mini_batch_size is given")
      .at_least(1)
      .at_most(1 << 20)
      .usual();
  list.add("mini_batch_size", c.mini_batch_size,
           "sequences of one forward pass, batch_size then counts the optimiser step's")
      .at_least(1)
      .at_most(1 << 20);
  list.add("gradient_accumulation_steps", c.gradient_accumulation_steps,
           "forward passes summed into one optimiser step")
      .at_least(1)
      .at_most(1 << 20)
      .needs("mini_batch_size = None", [&c] { return !c.mini_batch_size; })
      .usual();
  add_row_fields(list, c);
  add_numbers_fields(list, c);
}

void add_schedule_fields(FieldList& list, ScheduleConfig& c) {
  const char* const kDecays = "decay_lr = true";
  const auto decays = [&c] { return c.decay_lr; };
  list.section("schedule");
  list.add("decay_lr", c.decay_lr, "warm-up and cosine decay; false keeps learning_rate");
  list.add("warmup_iters", c.warmup_iters, "steps of linear warm-up")
      .at_least(0)
      .at_most(1e12)
      .needs(kDecays, decays)
      .usual();
  list.add<WarmupForm>("warmup_form", c.warmup_form,
                       "shifted: (i+1)/(w+1); from_zero: i/w, so that step 0 changes nothing",
                       {{"shifted", WarmupForm::kShifted}, {"from_zero", WarmupForm::kFromZero}})
      .needs(kDecays, decays)
      .needs("warmup_iters > 0", [&c] { return c.warmup_iters > 0; });
  list.add("lr_decay_iters", c.lr_decay_iters, "step at which min_lr is reached, None: max_iters")
      .at_least(1)
      .at_most(1e12)
      .needs(kDecays, decays);
  list.add("min_lr", c.min_lr, "final learning rate, None: learning_rate / 10")
      .at_least(0)
      .needs(kDecays, decays);
}

void add_training_fields(FieldList& list, TrainingConfig& c) {
  list.section("training");
  list.add("max_iters", c.max_iters, "optimiser steps").at_least(0).at_most(1e12).usual();
  list.add("eval_interval", c.eval_interval, "steps between evaluations")
      .at_least(1)
      .at_most(1e12)
      .needs("validation_interval = None", [&c] { return !c.validation_interval; })
      .usual();
  list.add("eval_iters", c.eval_iters, "batches of one evaluation, per split")
      .at_least(1)
      .at_most(1e12)
      .usual();
  list.add("evaluations", c.evaluations, evaluations_help());
  list.add(
      "enable_auto_exit_eval", c.enable_auto_exit_eval,
      "one more evaluation, auto_exit, where loops end by their loop_halt_rule (rel_latent, if "
      "they have none) and after max_loops at the latest");
  list.add(
          "validation_interval", c.validation_interval,
          "sequences seen between evaluations, counts in place of eval_interval; None: steps count")
      .at_least(1)
      .at_most(1e12);
  list.add("validation_batch_size", c.validation_batch_size,
           "sequences of an evaluation's batch, None: batch_size")
      .at_least(1)
      .at_most(1 << 20)
      .alias("val_examples_per_batch");
  list.add("save_interval", c.save_interval,
           "sequences seen between savings of `last`, None: before every evaluation")
      .at_least(1)
      .at_most(1e12);
  list.add<LossNorm>("loss_norm", c.loss_norm,
                     "token: a step's loss is the mean over its targets, however it is split; "
                     "minibatch: the mean of its passes' means (LMPlay), which depends on "
                     "mini_batch_size",
                     {{"token", LossNorm::kToken}, {"minibatch", LossNorm::kMinibatch}});
  list.add("log_interval", c.log_interval,
           "steps between stored numbers. Given, also between lines of a log (a redirected "
           "console), which else has about 20 of steps, and of slow ones one a minute")
      .at_least(1)
      .at_most(1e12);
  list.add<LogFormat>("log_format", c.log_format,
                      "of the console: fathom, or notebook: lines of the notebook on wirings, and "
                      "nothing else; what is stored is the same",
                      {{"fathom", LogFormat::kFathom}, {"notebook", LogFormat::kNotebook}});
  list.add("sample_interval", c.sample_interval,
           "show a text that the model goes on with, after every so many steps and after the last; "
           "None: never. With log_format = notebook as there: 150, counted from step 50 on, step 1 "
           "and before the last")
      .at_least(1)
      .at_most(1e12);
  list.add("sample_prompt", c.sample_prompt,
           "how that text begins; empty: as the notebook's, or a line break where the tokenizer "
           "has not its letters")
      .needs("sample_interval, or log_format = notebook", [&c] { return sample_interval(c) > 0; });
  list.add("eval_only", c.eval_only, "evaluate once and stop");
  list.add("checkpoint_interval", c.checkpoint_interval,
           "steps between checkpoints that are kept under their number, None: none are")
      .at_least(1)
      .at_most(1e12);
  list.add("keep_checkpoints", c.keep_checkpoints,
           "numbered checkpoints to keep, the newest; None: all. `best` and `last` always stay")
      .at_least(0)
      .at_most(1 << 30)
      .switch_alias("clear_previous_checkpoints", "1", "None")
      .needs("checkpoint_interval", [&c] { return c.checkpoint_interval.has_value(); });
  list.add("seed", c.seed, "of initialisation, data order and dropout")
      .at_least(0)
      .at_most(kMostSeed)
      .usual();
  list.add("device", c.device, "auto, cpu, cuda or cuda:N").usual().suggests(suggested_devices);
  list.add<Precision>("dtype", c.dtype, "of the matrix products; parameters and sums stay float32",
                      {{"float32", Precision::kFloat32},
                       {"bfloat16", Precision::kBFloat16},
                       {"float16", Precision::kFloat16}})
      .usual();
  list.add("amp", c.amp, "LMPlay's spelling of dtype: bfloat16, or False for float32");
  list.add("threads", c.threads, "processor threads, 0: all this process may use")
      .at_least(0)
      .at_most(kMostThreads);
  list.add("recompute_blocks", c.recompute_blocks,
           "compute a block's activations again in the backward pass: less memory, more time");
}

void add_guard_fields(FieldList& list, GuardConfig& c) {
  list.section("guards");
  list.add<Nonfinite>("nonfinite", c.nonfinite,
                      "after a loss, gradient or weight that is not finite: abort, skip the step, "
                      "or return to the last checkpoint and go on behind the batch",
                      {{"abort", Nonfinite::kAbort},
                       {"skip", Nonfinite::kSkip},
                       {"rollback", Nonfinite::kRollback}});
  list.add("spike_sigma", c.spike_sigma,
           "skip a step whose loss or gradient norm is so many standard deviations above the last "
           "spike_window steps', 0: never")
      .at_least(0);
  list.add("spike_window", c.spike_window, "accepted steps that a spike is measured against")
      .at_least(2)
      .at_most(1 << 20)
      .needs("spike_sigma > 0", [&c] { return c.spike_sigma > 0; });
  list.add("check_grads", c.check_grads, "stop if the first loss does not reach every parameter");
}

// What nanoGPT's and LMPlay's command lines have besides.
void add_foreign_keys(FieldList& list) {
  for (const char* name : {"compile", "compile_model"})
    list.ignore(name, "this program is compiled already");
  for (const char* name : {"compile_mode", "compile_backend"})
    list.ignore(name, "this program is compiled already", /*takes_value=*/true);
  list.ignore("backend", "one process trains on one device", /*takes_value=*/true);
  list.ignore("wandb_log", "metrics go to the local run store");
  for (const char* name : {"wandb_project", "wandb_run_name"})
    list.ignore(name, "metrics go to the local run store", /*takes_value=*/true);
  list.ignore("always_save_checkpoint", "`last` is saved at every evaluation, `best` beside it");
  for (const char* name :
       {"loops_representation", "track_convergence_diagnostics", "track_global_diagnostics",
        "calculate_jacobian", "calculate_jacobian_trajectory"})
    list.ignore(name, "`fathom loops RUN` looks into the loops of any run");
  list.ignore("keep_alive", "that belongs to a rented notebook");
  list.ignore("save_datasets", "prepared corpora are always kept");
  list.ignore("verbose", "progress is always shown, `--quiet` hides it");
  list.ignore("no_grad_scale", "no gradient is scaled");
  list.ignore("disable_optimizer_warmup",
              "the optimiser warms up only where optimizer_warmup_steps says so");
  for (const char* name : {"dump_config", "use_config"})
    list.refuse(name, "config files are named as they are",
                "a bare path, or --config=FILE; a run's own is its config.toml");
  list.refuse("hierarchical_spec", "groups within groups are written in loop_groups",
              "for example --loop_groups=[[[1],[2]]]; max_loops is each group's most");
  list.refuse(
      "model", "a run's files are named by the run",
      "--run_name=NAME names it, --resume goes on with it, --initial_model=NAME starts from "
      "its weights");
}

}  // namespace

int64_t RunConfig::sequences_per_step() const {
  return data.mini_batch_size ? data.batch_size
                              : data.batch_size * data.gradient_accumulation_steps;
}

int64_t RunConfig::micro_batch_size() const {
  return data.mini_batch_size ? std::min(*data.mini_batch_size, data.batch_size) : data.batch_size;
}

int64_t sample_interval(const TrainingConfig& config) {
  return config.sample_interval.value_or(
      config.log_format == LogFormat::kNotebook ? kNotebookSamples : 0);
}

void add_fields(FieldList& list, RunConfig& config) {
  add_fields(list, config.model);
  add_data_fields(list, config.data);
  add_fields(list, config.optimizer);
  add_fields(list, config.spectral);
  add_schedule_fields(list, config.schedule);
  add_training_fields(list, config.training);
  add_guard_fields(list, config.guards);
  add_foreign_keys(list);
  explain_other_names(list);
}

void check_device_name(const std::string& device) {
  const bool numbered = device.rfind("cuda:", 0) == 0 && device.size() > 5 && device.size() < 9 &&
                        device.find_first_not_of("0123456789", 5) == std::string::npos;
  if (device != "auto" && device != "cpu" && device != "cuda" && !numbered)
    misuse(fmt::format("device = {} is unknown, allowed: auto, cpu, cuda, cuda:N",
                       device.empty() ? "\"\"" : escaped(device)),
           "auto takes CUDA where it is there, else the processor");
}

namespace {

// Keys that mean the same in other units, or another key's value.
void settle_spellings(const FieldList& list, TrainingConfig& t, std::vector<std::string>& notices) {
  if (t.validation_interval && list.given_after("eval_interval", "validation_interval")) {
    t.validation_interval.reset();
    if (!list.given("save_interval")) t.save_interval.reset();
    notices.push_back(fmt::format("eval_interval = {}: it counts in place of validation_interval",
                                  t.eval_interval));
  }
  if (t.amp && list.given("amp") && !list.given_after("amp", "dtype"))
    notices.push_back(fmt::format("amp = {} has no effect: dtype was given after it", *t.amp));
  if (t.amp && list.given_after("amp", "dtype"))
    t.dtype = *t.amp ? Precision::kBFloat16 : Precision::kFloat32;
  t.amp.reset();
}

// Keys of halting that act in an evaluation, if not in the run's own passes.
void add_acting(const std::vector<EvaluationSpec>& evaluations, const ModelConfig& model,
                std::vector<std::string>& keys) {
  const LoopHaltingConfig& own = model.loop_halting;
  for (const EvaluationSpec& evaluation : evaluations) {
    if (evaluation.settings.empty()) continue;
    const ModelConfig changed = with_settings(evaluation, model);
    // A rule that only the evaluation has goes by what the run says of halting.
    if (changed.halting.rule != HaltRule::kNone && model.halting.rule == HaltRule::kNone)
      for (const char* key : {"confidence_temperature", "mask_history", "mask_self", "halt_keys",
                              "halt_use", "halt_in_eval", "halt_cap"})
        keys.emplace_back(key);
    const LoopHaltingConfig& c = changed.loop_halting;
    if (c.acting_rule() == HaltRule::kNone) continue;
    if (c.threshold.numbers == own.threshold.numbers) keys.emplace_back("loop_halt_threshold");
    if (c.unit == own.unit) keys.emplace_back("loop_halt_unit");
    if (c.rule == own.rule) keys.emplace_back("loop_halt_rule");
  }
}

// Tokens of a whole run and of an evaluation are counted in 64 bits.
void check_products(const RunConfig& c) {
  constexpr double kMost = 4e18;
  const auto block = static_cast<double>(c.model.backbone.block_size);
  const double step =
      static_cast<double>(c.data.batch_size) * block *
      (c.data.mini_batch_size ? 1.0 : static_cast<double>(c.data.gradient_accumulation_steps));
  const double run = step * static_cast<double>(std::max<int64_t>(c.training.max_iters, 1));
  if (run > kMost)
    misuse(fmt::format("{} steps of {} tokens are more than can be counted",
                       with_commas(c.training.max_iters), human_count(step)),
           "a smaller max_iters, batch_size, gradient_accumulation_steps or block_size");
  const auto sequences =
      static_cast<double>(c.training.validation_batch_size.value_or(c.data.batch_size));
  if (static_cast<double>(c.training.eval_iters) * sequences * block > kMost)
    misuse(fmt::format("an evaluation of {} batches of {} tokens is more than can be counted",
                       with_commas(c.training.eval_iters), human_count(sequences * block)),
           "a smaller eval_iters, or a smaller batch_size or validation_batch_size");
}

}  // namespace

std::vector<std::string> resolve(const FieldList& list, RunConfig& config) {
  std::vector<std::string> notices = list.notices();
  // Keys that are not told to have no effect.
  std::vector<std::string> untold = settle_baseline(list, config, notices);
  BackboneConfig& b = config.model.backbone;
  if (list.given("n_embd") && !list.given("n_head") && b.n_embd % b.n_head != 0) {
    const int64_t heads = fitting_heads(b.n_embd, b.n_head);
    notices.push_back(fmt::format("n_head = {}: n_embd = {} is not divisible by the preset's {}",
                                  heads, b.n_embd, b.n_head));
    b.n_head = heads;
  }
  validate(config.model);
  settle_depth(config.model);
  check_plan(make_depth_plan(config.model));
  check_queries(make_depth_plan(config.model));
  for (std::string& remark : remarks(config.model)) notices.push_back(std::move(remark));
  settle_auto_exit(list, config.training, notices);
  add_acting(parse_evaluations(config.training.evaluations, config.model), config.model, untold);
  refuse_contradictions(list, {"looping", "ahead"}, untold);
  settle_own_freeze(config.model, config.optimizer);
  check_device_name(config.training.device);
  settle_spellings(list, config.training, notices);
  resolve(list, config.optimizer, notices);
  settle_data_keys(list, config, notices);
  settle_numbers(list, config, notices, untold);
  check_products(config);
  const DataConfig& d = config.data;
  if (d.mini_batch_size && d.gradient_accumulation_steps != 1)
    misuse(fmt::format("mini_batch_size = {} and gradient_accumulation_steps = {} both split the "
                       "optimiser's batch",
                       *d.mini_batch_size, d.gradient_accumulation_steps),
           "--mini_batch_size=None lets gradient_accumulation_steps count (presets may set "
           "mini_batch_size)");
  const ScheduleConfig& s = config.schedule;
  if (s.decay_lr && s.min_lr && *s.min_lr > config.optimizer.learning_rate)
    misuse(fmt::format("min_lr = {} is above learning_rate = {}", *s.min_lr,
                       config.optimizer.learning_rate),
           "min_lr=None takes a tenth of learning_rate");
  if (s.decay_lr && s.lr_decay_iters && *s.lr_decay_iters < s.warmup_iters)
    misuse(fmt::format("lr_decay_iters = {} is below warmup_iters = {}", *s.lr_decay_iters,
                       s.warmup_iters),
           "lr_decay_iters=None takes max_iters");
  if (s.decay_lr && s.warmup_iters >= config.training.max_iters && config.training.max_iters > 0)
    notices.push_back(fmt::format("warmup_iters = {}: the run's {} steps never reach learning_rate",
                                  s.warmup_iters, config.training.max_iters));
  if (s.decay_lr && config.optimizer.optimizer == "schedule_free_adamw")
    notices.emplace_back(
        "schedule_free_adamw is made for a rate that does not fall: --decay_lr=False "
        "--optimizer_warmup_steps=N --optimizer_warmup_fraction=0 only warms up");
  for (std::string& idle : without_effect(list)) {
    const auto is_told = [&](const std::string& name) { return idle.rfind(name + " = ", 0) == 0; };
    if (std::none_of(untold.begin(), untold.end(), is_told)) notices.push_back(std::move(idle));
  }
  return notices;
}

int64_t settled_vocab_size(const RunConfig& config, int64_t corpus_vocab) {
  const std::optional<int64_t>& asked = config.model.backbone.vocab_size;
  if (asked && *asked < corpus_vocab)
    misuse(fmt::format("vocab_size = {} is smaller than the corpus's {}", *asked, corpus_vocab),
           "leave vocab_size out to take the corpus's");
  const int64_t text = asked ? *asked : corpus_vocab > 0 ? corpus_vocab : kGpt2Vocab;
  return text + config.model.ahead.shift_tokens();
}

}  // namespace fathom
