// Wire it yourself: the rows of a notebook of block formulas, shared layers and objectives, as
// data.
//
// A row is a name, a line of help, a wiring and settings. Each is registered twice: at the
// notebook's size, and as NAME_small, for a minute or a few on two cores.
#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/train/recipe/registry.h"

namespace fathom {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

struct WiringRow {
  const char* name;
  const char* help;
  const char* wiring;
  double learning_rate;
  Settings settings;  // beside the notebook's
};

Settings operator+(Settings a, const Settings& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// ---- What rows have in common

// GPT-2's blocks. The others name the middle of a block `mid`, for the probes.
constexpr const char* kVanilla = "r = r + A(n); r = r + M(N(r))";
constexpr const char* kParallel = "r = r + A(n) + M(n)";
constexpr const char* kProduct = "r = r + A(n)*M(n)";
constexpr const char* kTimesAttention = "mid = r*A(n); r = mid + M(N(mid))";
constexpr const char* kTimesMlp = "mid = r + A(n); r = mid*M(N(mid))";
constexpr const char* kTimesBoth = "mid = r*A(n); r = mid*M(N(mid))";
constexpr const char* kNormedCarry = "mid = n + A(n); r = mid + M(N(mid))";
constexpr const char* kNoCarry = "mid = A(n); r = mid + M(N(mid))";

// Every layer's cross-entropy, added up.
const Settings kAll = {{"layer_supervision", "all"}, {"supervision_reduce", "sum"}};
// One norm at all doors and before the head; it has a weight and a bias.
const Settings kAffine = {{"norm_affine", "true"}, {"norm_ties", "last"}};
const Settings kFree = {{"norm_affine", "false"}};
const Settings kOwnLayers = {{"share", "free"}, {"norm_affine", "true"}, {"norm_ties", "none"}};
// The layer's input is every head's value, the heads are added up, and nothing follows.
const Settings kNoValue = {{"attn_value", "sum"}, {"attn_projection", "false"}};
// Its epsilon is single precision's.
const Settings kRms = kFree + Settings{{"norm_kind", "rms"}, {"rms_norm_eps", "1.1920929e-07"}};
// A row halts with the probability of its likeliest token, and hides nothing from the others.
const Settings kHalts = {{"halt_rule", "bernoulli"}};
const Settings kOnlyLogged = kHalts + Settings{{"halt_use", "log"}};
const Settings kAnswers = kHalts + Settings{{"halt_use", "answer"}};

Settings objective(const char* name) {
  return {{"objective", name}};
}

// ---- The notebook's rows, under the names of their logs

std::vector<WiringRow> plain_rows() {
  return {
      {"0-gpt", "GPT-2 itself: every layer has weights of its own", kVanilla, 6e-4, kOwnLayers},
      {"0-gpt-custom", "0-gpt, as computed by the notebook's own loop", kVanilla, 6e-4, kOwnLayers},
      {"0-original", "0-gpt, as the notebook began", kVanilla, 6e-4, kOwnLayers},
      {"0-base", "one layer, 12 times over; a rate of 1.2e-3", kVanilla, 1.2e-3,
       kAffine + Settings{{"batch_size", "16"}, {"gradient_accumulation_steps", "8"}}},
      {"0-noearly", "0-base at a rate of 2.4e-3", kVanilla, 2.4e-3, kAffine},
      {"0-base2", "0-noearly, and where rows would halt is logged", kVanilla, 2.4e-3,
       kAffine + kOnlyLogged},
      {"7-test-3", "0-base at a rate of 6e-4: the notebook's vanilla", kVanilla, 6e-4, kAffine},
      {"7-test-2", "vanilla, every layer trained", kVanilla, 6e-4, kAffine + kAll},
  };
}

std::vector<WiringRow> carry_rows() {
  return {
      {"7-test-1", "what came in is dropped after attention: u = A(n)", kNoCarry, 3e-4, kAffine},
      {"8-noresattnresmlp", "7-test-1, every layer trained, a rate of 6e-4", kNoCarry, 6e-4,
       kAffine + kAll},
      {"8-everylayer-nores", "nothing is carried: u = A(n), r = u * M(N u)",
       "mid = A(n); r = mid*M(N(mid))", 6e-4, kAffine + kAll},
      {"8-everylayer-nores-true", "nothing is carried: u = A(n), r = M(N u)",
       "mid = A(n); r = M(N(mid))", 6e-4, kAffine + kAll},
      {"7-debug", "times the MLP: r = u * M(N u)", kTimesMlp, 6e-4, kAffine},
      {"7-debug-2", "7-debug, every layer trained", kTimesMlp, 6e-4, kAffine + kAll},
      {"8-plus-times", "7-debug-2, run again", kTimesMlp, 6e-4, kAffine + kAll},
      {"8-doubleattn", "two attentions, one of them times r: u = r * A2(n) + A(n)",
       "mid = r*A[1](n) + A(n); r = mid + M(N(mid))", 6e-4, kAffine + kAll},
      {"8-doubleattndoublemlp", "8-doubleattn with two MLPs, one of them times u",
       "mid = r*A[1](n) + A(n); r = mid*M[1](N(mid)) + M(N(mid))", 6e-4, kAffine + kAll},
      {"8-timesplus", "times attention: u = r * A(n), r = u + M(N u)", kTimesAttention, 6e-4,
       kAffine + kAll},
      {"8-experiment", "times both: u = r * A(n), r = u * M(N u)", kTimesBoth, 6e-4, kAffine},
      {"8-timestimes", "8-experiment, every layer trained", kTimesBoth, 6e-4, kAffine + kAll},
      {"8-reswithln", "the carry normed: u = n + A(n)", kNormedCarry, 6e-4, kAffine + kAll},
      {"8-xplusnotres", "8-reswithln, run again", kNormedCarry, 6e-4, kAffine + kAll},
      {"9-experiment", "labelled u = r + A(n), and computed as r * A(n), which this is",
       kTimesAttention, 6e-4, kAffine + kAll},
      {"9-unlearnableLN-xnotres", "the carry normed, and norms without weights", kNormedCarry, 6e-4,
       kFree + kAll},
      {"9-unlearnableLN-resplus", "vanilla with norms without weights", kVanilla, 6e-4,
       kFree + kAll},
      {"9-unlearnableLN", "times attention, norms without weights", kTimesAttention, 6e-4,
       kFree + kAll},
      {"10-resescape", "the MLP's sum begins at the norm: r = n + M(N u)",
       "mid = r + A(n); r = n + M(N(mid))", 6e-4, kFree + kAll},
      {"10-x-escape", "attention escapes the carry: r = r + M(N u)",
       "mid = r + A(n); r = r + M(N(mid))", 6e-4, kFree + kAll},
      {"10-plustimes", "times the MLP, norms without weights", kTimesMlp, 6e-4, kFree + kAll},
  };
}

std::vector<WiringRow> parallel_rows() {
  return {
      {"10-resmlp", "attention and MLP side by side, every layer trained", kParallel, 6e-4,
       kFree + kAll},
      {"10-resmlp-single", "attention and MLP side by side: r = r + A(n) + M(n)", kParallel, 6e-4,
       kFree},
      {"10-resmlp-single-2x", "attention twice as large", "r = r + 2*A(n) + M(n)", 6e-4, kFree},
      {"10-resmlp-single-halfx", "attention half as large", "r = r + 0.5*A(n) + M(n)", 6e-4, kFree},
      {"10-resmlp-single-noattn", "no attention", "r = r + M(n)", 6e-4, kFree},
      {"10-resmlp-single-attnxmlp", "attention times MLP: r = r + A(n) * M(n)", kProduct, 6e-4,
       kFree},
      {"10-resmlp-single-axm-recurse",
       "labelled as `recurse`, and computed as A(n) * M(n), which this is", kProduct, 6e-4, kFree},
      {"recurse",
       "fed with what was added last, y = A(y) * M(y), from zero: there only tables learn",
       "y = A(y)*M(y); r = r + y", 6e-4, kFree},
      {"recurse-plus", "fed with what was added last: y = A(y) + M(y), from zero",
       "y = A(y) + M(y); r = r + y", 6e-4, kFree},
      {"10-resmlp-single-axm-novalue", "attention times MLP without value and output matrices",
       kProduct, 6e-4, kFree + kNoValue},
      {"10-resmlp-single-axm-novalue-copy", "axm-novalue, run again", kProduct, 6e-4,
       kFree + kNoValue},
      {"10-resmlp-single-axm-novalue-copy-alllayer", "axm-novalue, every layer trained", kProduct,
       6e-4, kFree + kNoValue + kAll},
      {"10-resmlp-single-axm-novalue-extramlp", "axm-novalue and another MLP added",
       "r = r + A(n)*M(n) + M[1](n)", 6e-4, kFree + kNoValue},
      {"10-resmlp-single-axm-novalue-rms", "axm-novalue with RMS norms", kProduct, 6e-4,
       kNoValue + kRms},
      {"11-base", "attention and MLP side by side with RMS norms", kParallel, 6e-4, kRms},
      {"11-apm-nopos", "11-base without value matrices and positions", kParallel, 6e-4,
       kNoValue + kRms + Settings{{"positions", "none"}}},
      {"11-axm-mlpofy", "attention times an MLP of attention: a * M(N a)",
       "a = A(n); r = r + a*M(N(a))", 6e-4, kNoValue + kRms},
  };
}

// ---- Objectives of halting and confidence, on the notebook's first shared model

std::vector<WiringRow> objective_rows() {
  const Settings halts = kAffine + kAnswers;
  // Asking the next layer had left the blocks without gradients.
  const Settings next = halts + Settings{{"freeze_parts", "block"}};
  const Settings expected = halts + Settings{{"halt_in_eval", "expect"}};
  return {
      {"1-noise", "confidence before the last layer is penalised", kVanilla, 2.4e-3,
       kAffine + objective("conf_1")},
      {"2-test", "confidence is rewarded, of its mean over the batch", kVanilla, 2.4e-3,
       kAffine + objective("conf_2")},
      {"3-test", "confidence of who goes on is penalised, times its cross-entropy", kVanilla,
       2.4e-3, halts + objective("conf_3")},
      {"3-test-rerun", "3-test, the last layer trained on who comes to its end", kVanilla, 2.4e-3,
       halts + objective("conf_3_rerun")},
      {"4-test", "3-test-rerun, times the cross-entropy where it halts, which is never who goes on",
       kVanilla, 2.4e-3, halts + objective("conf_4")},
      {"5-test-text", "4-test of the layer before, as the notes have it", kVanilla, 2.4e-3,
       halts + objective("conf_5_text")},
      {"5-test", "who halts answers, and confidence is penalised, as logged", kVanilla, 2.4e-3,
       halts + objective("conf_5")},
      {"5-test2", "5-test, run again", kVanilla, 2.4e-3, halts + objective("conf_5")},
      {"6-test-1",
       "the next layer is asked, its p of the target rewarded, blocks stay as they are; who halts "
       "goes by the layer's own p_max, there by the next one's",
       kVanilla, 6e-4, next + objective("conf_6_1")},
      {"6-test-2",
       "the next layer is asked, its confidence rewarded, blocks stay as they are; who halts goes "
       "by the layer's own p_max, there by the next one's",
       kVanilla, 3e-4, next + objective("conf_6_2")},
      {"7-test-4", "every layer trained, and drawn to the next row's state a layer before",
       kVanilla, 6e-4, kAffine + objective("prevnext_dot")},
      {"u5-expected", "halting in expectation, with a gradient into when", kVanilla, 6e-4,
       expected + objective("expected")},
      {"u5-ponder", "u5-expected, with a price for every layer that is asked", kVanilla, 6e-4,
       expected + objective("ponder")},
      {"u5-lastpenalty", "who halts answers, and answers of the last layer cost twice", kVanilla,
       6e-4, halts + objective("last_penalty")},
      {"u6-token", "every layer trained, and to say what the layer before says of the next row",
       kVanilla, 6e-4, kAffine + objective("prevnext_token")},
      {"u9-lowrate", "5-test at a quarter of its rate", kVanilla, 6e-4,
       halts + objective("conf_5")},
      {"u14-sure", "confidence is rewarded where it is high already", kVanilla, 6e-4,
       kAffine + objective("reward_sure")},
      {"notarget", "rows without a target ask the next layer, and are to make it sure", kVanilla,
       6e-4, kAffine + objective("no_target")},
      {"agreement", "confidence where two layers agree is rewarded", kVanilla, 6e-4,
       kAffine + objective("agreement")},
  };
}

// ---- Ideas that it lists as open

std::vector<WiringRow> idea_rows() {
  const Settings reach = kAll + Settings{{"reach", "1"}, {"reach_embeddings", "false"}};
  return {
      {"carrypenalty", "times attention, and a price for a large stream", kTimesAttention, 6e-4,
       kFree + objective("carry_penalty")},
      {"u1-reach1", "every layer trained, and a loss reaches one layer: embeddings only as a head",
       kVanilla, 6e-4, kAffine + reach},
      {"u1-reach1-unshared", "u1-reach1, every layer with weights of its own", kVanilla, 6e-4,
       kOwnLayers + reach},
      {"u2-converge", "every layer trained, and a row halts where its state stops changing",
       kParallel, 6e-4, kFree + kAll + Settings{{"halt_rule", "converge"}, {"halt_keys", "seen"}}},
      {"u3-axm-rms", "attention times MLP with RMS norms", kProduct, 6e-4, kRms},
      {"u4-mlpofnorm", "attention times the MLP of both: a * M(n + N a)",
       "a = A(n); r = r + a*M(n + N(a))", 6e-4, kFree},
      {"u4-mlpofnorm-plus", "attention and the MLP of both: a + M(n + N a)",
       "a = A(n); r = r + a + M(n + N(a))", 6e-4, kFree},
      {"u10-noprojection", "values, and no output matrix", kParallel, 6e-4,
       kFree + Settings{{"attn_projection", "false"}}},
      {"u10-inputvalue", "an output matrix, and the layer's input as value", kParallel, 6e-4,
       kFree + Settings{{"attn_value", "sum"}}},
      {"u11-replace", "a gate between what came in and what is made: (1 - g) * r + g * z",
       "g = sigmoid(M[1](n)); z = A(n) + M(n); r = (1 - g)*r + g*z", 6e-4, kFree},
      {"u12-uniform", "attention that weighs all that came before alike", kParallel, 6e-4,
       kFree + Settings{{"attn_scores", "uniform"}}},
  };
}

// ---- Both sizes

// What every row of the notebook has: GPT-2's shapes with biases, one layer's weights for all.
Settings with_model(const Settings& size, const WiringRow& row) {
  return size + Settings{{"bias", "true"},     {"activation", "gelu_tanh"},
                         {"tie_head", "true"}, {"dropout", "0"},
                         {"share", "one"},     {"wiring", row.wiring}} +
         row.settings;
}

constexpr double kUsualRate = 6e-4;

// 12 layers, 768 wide, 131,072 tokens a step.
void notebook(RunConfig& c, const WiringRow& row) {
  c.data.dataset = "fineweb";
  c.optimizer.learning_rate = row.learning_rate;
  const Settings size = {{"n_layer", "12"},
                         {"n_head", "12"},
                         {"n_embd", "768"},
                         {"block_size", "1024"},
                         {"vocab_size", "50304"},
                         {"batch_size", "8"},
                         {"gradient_accumulation_steps", "16"},
                         {"sampling", "batches"},
                         {"warmup_iters", "9"},  // the tenth step has the whole rate
                         {"max_iters", "300001"},
                         {"lr_decay_iters", "300001"},
                         {"eval_interval", "2000"},
                         {"eval_iters", "20"},
                         {"checkpoint_interval", "20000"},
                         {"keep_checkpoints", "2"},
                         {"dtype", "bfloat16"},
                         {"seed", "1234"}};
  set_keys(c, with_model(size, row));
}

// The laptop recipe, deeper: 8 layers are enough for what sharing does to a stream.
void small(RunConfig& c, const WiringRow& row) {
  registry().preset("gpt2ish_shakespeare_cpu").apply(c);
  c.optimizer.learning_rate *= row.learning_rate / kUsualRate;
  const Settings size = {
      {"n_layer", "8"}, {"warmup_iters", "50"}, {"max_iters", "1500"}, {"eval_interval", "250"}};
  set_keys(c, with_model(size, row));
}

void add(Registry& registry, const WiringRow& row) {
  registry.add(row.name, row.help, [row](RunConfig& c) { notebook(c, row); });
}
void add_small(Registry& registry, const std::string& name, const WiringRow& row) {
  registry.add(name + "_small",
               name + " small: 8 layers, 128 wide, for a minute or a few on two cores",
               [row](RunConfig& c) { small(c, row); });
}

// Shorter names.
const std::pair<const char*, const char*> kOtherNames[] = {
    {"axm", "10-resmlp-single-attnxmlp"},
    {"axm-novalue", "10-resmlp-single-axm-novalue"},
    {"10-resmlp-single-axm", "10-resmlp-single-attnxmlp"},
};

}  // namespace

void register_blockalgebra(Registry& registry) {
  registry.experiment("blockalgebra",
                      "wire it yourself: blocks as formulas, shared layers, objectives");
  std::vector<WiringRow> rows;
  for (const auto& some :
       {plain_rows(), carry_rows(), parallel_rows(), objective_rows(), idea_rows()})
    rows.insert(rows.end(), some.begin(), some.end());
  for (const WiringRow& row : rows) add(registry, row);
  const auto named = [&](const std::string& name) {
    for (const WiringRow& row : rows)
      if (name == row.name) return row;
    fail(fmt::format("no row {}", name));
  };
  for (const auto& [name, of] : kOtherNames)
    registry.add(name, fmt::format("another name of {}", of),
                 [row = named(of)](RunConfig& c) { notebook(c, row); });
  for (const WiringRow& row : rows) add_small(registry, row.name, row);
  for (const auto& [name, of] : kOtherNames) add_small(registry, name, named(of));
}

}  // namespace fathom
