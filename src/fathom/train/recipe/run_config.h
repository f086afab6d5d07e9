// Everything that decides a run: model, data, optimiser, schedule, and how long. One list of fields
// drives the command line, config files, config.toml, `describe` and the checkpoint's copy.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fathom/base/precision.h"
#include "fathom/config/fields.h"
#include "fathom/data/mixture.h"
#include "fathom/data/numbers/example.h"
#include "fathom/data/prompt_rows.h"
#include "fathom/model/spec/model_config.h"
#include "fathom/train/recipe/optimizer_config.h"
#include "fathom/train/recipe/spectral_config.h"

namespace fathom {

enum class Sampling { kRandom, kSequential, kBatches };
enum class WarmupForm { kShifted, kFromZero };
// What a step's loss is a mean over: all of its targets, or the means of its passes, each weighted
// by its sequences (LMPlay), which depends on how a step is split into passes.
enum class LossNorm { kToken, kMinibatch };
// What the console says of a run: ours, or the lines of the notebook on wirings and nothing else
// (track/notebook_log.h).
enum class LogFormat { kFathom, kNotebook };

// Upper limits that several lists of fields share: a larger number of threads brings a machine
// down, and a larger seed is no number that JSON and Python carry exactly.
inline constexpr double kMostThreads = 1024;
inline constexpr double kMostSeed = 9007199254740992;

struct DataConfig {
  // A prepared corpus, a folder with shards, or `numbers`; several by commas.
  std::string dataset;
  Sampling sampling = Sampling::kRandom;
  int64_t batch_size = 12;
  std::optional<int64_t> mini_batch_size;
  int64_t gradient_accumulation_steps = 1;
  // Of corpora of rows (prompt_rows.h).
  bool include_prompts = true;
  std::optional<bool> dont_include_prompts;  // LMPlay's spelling; resolve() settles the other by it
  LongRows long_rows = LongRows::kContinue;
  int64_t row_overlap = 0;
  bool fresh_rows = false;
  bool pack_rows = false;
  bool shuffle_rows = false;
  // Of several corpora (mixture.h).
  MixtureRule mixture = MixtureRule::kFirstExhausted;
  std::vector<double> mixture_weights;
  NumbersConfig numbers;  // of the generated corpus

  bool has_several_datasets() const { return dataset.find(',') != std::string::npos; }
};

struct ScheduleConfig {
  bool decay_lr = true;
  int64_t warmup_iters = 2000;
  WarmupForm warmup_form = WarmupForm::kShifted;
  std::optional<int64_t> lr_decay_iters;  // unset: max_iters
  std::optional<double> min_lr;           // unset: learning_rate / 10
};

struct TrainingConfig {
  int64_t max_iters = 600000;
  int64_t eval_interval = 2000;
  int64_t eval_iters = 200;
  std::string evaluations = "train; val";     // see evaluations.h
  std::optional<bool> enable_auto_exit_eval;  // resolve() makes one of them of it
  // In sequences seen, in place of eval_interval's and the evaluations' steps; unset: those count.
  std::optional<int64_t> validation_interval, save_interval;
  std::optional<int64_t> validation_batch_size;  // unset: batch_size
  LossNorm loss_norm = LossNorm::kToken;
  int64_t log_interval = 10;
  LogFormat log_format = LogFormat::kFathom;
  std::optional<int64_t> sample_interval;  // unset: kNotebookSamples with kNotebook, else never
  std::string sample_prompt;               // empty: the notebook's
  bool eval_only = false;
  std::optional<int64_t> checkpoint_interval;  // unset: none are kept but `last` and `best`
  std::optional<int64_t> keep_checkpoints;     // unset: all
  int64_t seed = 1337;
  std::string device = "auto";
  Precision dtype = Precision::kFloat32;
  std::optional<bool> amp;  // LMPlay's spelling of dtype; resolve() settles that by it
  int64_t threads = 0;
  bool recompute_blocks = false;  // activations are computed again by the backward pass
};

// What follows a loss, gradient or weight that is not a finite number.
enum class Nonfinite { kAbort, kSkip, kRollback };

struct GuardConfig {
  Nonfinite nonfinite = Nonfinite::kAbort;
  double spike_sigma = 0;  // 0: off
  int64_t spike_window = 128;
  bool check_grads = false;
};

struct RunConfig {
  std::string preset;
  ModelConfig model;
  DataConfig data;
  OptimizerConfig optimizer;
  SpectralConfig spectral;
  ScheduleConfig schedule;
  TrainingConfig training;
  GuardConfig guards;

  // Sequences of one optimiser step, and of one forward and backward pass.
  int64_t sequences_per_step() const;
  int64_t micro_batch_size() const;
  // Windows of each split that an evaluation looks at.
  int64_t sequences_per_evaluation() const {
    return training.eval_iters * training.validation_batch_size.value_or(data.batch_size);
  }
  int64_t tokens_per_step() const { return sequences_per_step() * model.backbone.block_size; }
};

// Steps between the notebook's samples.
inline constexpr int64_t kNotebookSamples = 150;
// Steps between the samples of a text that training shows; 0: there are none.
int64_t sample_interval(const TrainingConfig& config);

void add_fields(FieldList& list, RunConfig& config);

// Throws Error(kUsage) unless it is auto, cpu, cuda or cuda:N. Whether the machine has it is the
// engine's to say.
void check_device_name(const std::string& device);

// Settles what one key means in the light of the others and refuses contradictions (kUsage). `list`
// is config's own, and says which keys were given. Returns a sentence for each choice it made.
std::vector<std::string> resolve(const FieldList& list, RunConfig& config);

// Rows of the token table: config's vocab_size, at least `corpus_vocab` (0: not known), and those
// of shift tokens behind them.
int64_t settled_vocab_size(const RunConfig& config, int64_t corpus_vocab);

}  // namespace fathom
