// Compute with numbers: models whose tokens each run a small program of arithmetic, and the
// predictors that learn such programs beforehand.
#include "experiments/dag/architecture.h"
#include "fathom/train/recipe/registry.h"

namespace fathom {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

void become(RunConfig& c, bool predictor) {
  c.model.architecture = dag::architecture(predictor);
}

// ---- Full models

// The notebook's recipe: GPT-2's size and nanoGPT's rates, a text of the web.
void full(RunConfig& c) {
  become(c, /*predictor=*/false);
  set_keys(c, {{"dataset", "openwebtext"},
               {"dag_depth", "4"},
               {"n_layer", "12"},
               {"n_head", "12"},
               {"n_embd", "768"},
               {"block_size", "1024"},
               {"vocab_size", "50304"},
               {"batch_size", "12"},
               {"gradient_accumulation_steps", "40"},
               {"learning_rate", "6e-4"},
               {"min_lr", "6e-5"},
               {"warmup_iters", "2000"},
               {"lr_decay_iters", "600000"},
               {"max_iters", "600000"}});
}

// The one whose executor, operations and fold are those of the predictors.
const Settings kStack = {{"dag_executor", "stack"}, {"dag_mix", "gate"}};

// Of predictors for characters and of what they feed: with another one its programs would be
// others.
constexpr std::pair<const char*, const char*> kSharp = {"softmax_temperature", "2"};

// The laptop recipe on lines of arithmetic: the model learns to write results.
void small(RunConfig& c) {
  registry().preset("gpt2ish_shakespeare_cpu").apply(c);
  become(c, /*predictor=*/false);
  set_keys(c, {{"dataset", "numbers"},
               {"numbers_tokenizer", "char"},
               {"stream_share", "1"},
               {"english_conversion_rate", "0"},
               {"max_decimal_places", "1"},
               {"dag_depth", "2"},
               {"block_size", "96"},
               {"batch_size", "16"}});
}

void small_stack(RunConfig& c) {
  small(c);
  set_keys(c, kStack);
  set_keys(c, {kSharp});
}

// The lines that dag_predictor_lines reads.
const Settings kLines = {{"stream_share", "1"},       {"stream_labels", "True"},
                         {"max_decimal_places", "0"}, {"english_conversion_rate", "0"},
                         {"result_digits", "4"},      {"block_size", "128"}};

// Programs where a predictor has them, and blocks behind them that write results. The head is its
// own: the table may stay as the predictor made it.
void small_lines(RunConfig& c) {
  small_stack(c);
  set_keys(c, kLines);
  set_keys(
      c,
      {{"n_layer", "6"}, {"dag_after", "4"}, {"predictor_trunk", "True"}, {"tie_head", "False"}});
}

// ---- Predictors

// The notebook's schedule: AdamW with decay of everything, warm-up and cosine.
void predictor(RunConfig& c) {
  become(c, /*predictor=*/true);
  set_keys(c, {{"dataset", "numbers"},
               {"numbers_tokenizer", "gpt2"},
               {"vocab_size", "50304"},
               {"english_conversion_rate", "0.3"},
               {"permutation_probability", "0"},
               {"value_range", "[-10, 10]"},
               {"result_digits", "0"},
               {"train_seed", "42"},
               {"val_seed", "43"},
               {"dag_depth", "4"},
               {"n_layer", "1"},
               {"n_head", "1"},
               {"n_embd", "32"},
               {"block_size", "32"},
               {"batch_size", "4"},
               {"gradient_accumulation_steps", "1"},
               {"learning_rate", "3e-4"},
               {"min_lr", "3e-5"},
               {"warmup_iters", "500"},
               {"lr_decay_iters", "10000"},
               {"max_iters", "10000"},
               {"weight_decay", "0.1"},
               {"decay_rule", "all"},
               {"beta1", "0.9"},
               {"beta2", "0.95"},
               {"grad_clip", "1.0"},
               {"eval_interval", "500"},
               {"eval_iters", "50"}});
}

void large_steps(RunConfig& c) {
  set_keys(c, {{"learning_rate", "1e-3"},
               {"min_lr", "1e-5"},
               {"warmup_iters", "5000"},
               {"lr_decay_iters", "50000"},
               {"max_iters", "50000"},
               {"batch_size", "1024"}});
}

void cloud(RunConfig& c) {
  predictor(c);
  large_steps(c);
  set_keys(c, {{"dag_depth", "6"},
               {"n_head", "12"},
               {"n_embd", "768"},
               {"block_size", "128"},
               {"dropout", "0.1"},
               {"value_range", "[-10000, 10000]"},
               {"gradient_accumulation_steps", "16"}});
}

// The figures of its README together, which no file of its has: the small model's size, the cloud's
// batch and rate, and 8,000 examples a step in place of 16 passes.
void of_readme(RunConfig& c) {
  predictor(c);
  large_steps(c);
  set_keys(c, {{"train_examples_per_batch", "8000"}});
}

// Characters keep the digits of a number apart. All tokens behind the last operand know the
// program. Beside the notebook's recipe, what was measured to learn well: choices are sharper (a
// temperature of 2 for its 20), and magnitudes weigh 10 times as much, for they come last.
void predictor_small(RunConfig& c) {
  predictor(c);
  c.model.backbone.vocab_size.reset();
  set_keys(c, {{"numbers_tokenizer", "char"},
               {"max_decimal_places", "1"},
               kSharp,
               {"log_loss_weight", "10"},
               {"dag_depth", "2"},
               {"n_layer", "4"},
               {"n_head", "4"},
               {"n_embd", "128"},
               {"block_size", "128"},
               {"batch_size", "64"},
               {"learning_rate", "1e-3"},
               {"min_lr", "1e-5"},
               {"warmup_iters", "200"},
               {"lr_decay_iters", "None"},  // max_iters, also where that is typed
               {"max_iters", "5000"},
               {"eval_iters", "20"}});
}

void predictor_small_d4(RunConfig& c) {
  predictor_small(c);
  set_keys(c, {{"dag_depth", "4"}, {"block_size", "224"}, {"max_iters", "12000"}});
}

// Of every line of a stream, so that a language model of such streams may have it.
void predictor_lines(RunConfig& c) {
  predictor_small(c);
  set_keys(c, kLines);
  set_keys(c, {{"batch_size", "32"}, {"max_iters", "3000"}});
}

}  // namespace

void register_dag(Registry& registry) {
  registry.experiment("dag", "compute with numbers: every token runs a small program");
  registry.add("dag", "12 blocks, 768 wide, programs of 4 operations over a list of numbers", full);
  registry.add(
      "dag_stack",
      "12 blocks, 768 wide, programs of 4 operations on a stack, gated: predictors feed it",
      [](RunConfig& c) {
        full(c);
        set_keys(c, kStack);
      });
  registry.add("dag_small", "4 blocks, 128 wide, on lines of arithmetic: minutes on two cores",
               small);
  registry.add("dag_small_stack", "dag_small with a stack, gated: dag_predictor_small feeds it",
               small_stack);
  registry.add("dag_small_lines",
               "6 blocks, programs behind the fourth, on lines of whole numbers: "
               "dag_predictor_lines feeds it",
               small_lines);
  registry.add("dag_predictor",
               "reads a program from a sentence: 1 block, 32 wide, 4 operations; its config file's",
               predictor);
  registry.add("dag_predictor_cloud",
               "768 wide, 6 operations, 16 different passes of 1,024 examples a step", cloud);
  registry.add("dag_predictor_readme",
               "dag_predictor by the notebook's README: 8,000 examples a step, a rate of 1e-3",
               of_readme);
  registry.add("dag_predictor_small",
               "characters, 4 blocks, 128 wide, 2 operations: 15 minutes on two cores",
               predictor_small);
  registry.add("dag_predictor_small_d4", "dag_predictor_small for 4 operations: an hour",
               predictor_small_d4);
  registry.add("dag_predictor_lines",
               "dag_predictor_small of every line of a stream of whole numbers: 7 minutes",
               predictor_lines);
}

}  // namespace fathom
