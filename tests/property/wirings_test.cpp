// The rules of the corridor for every preset of a wiring, and for formulas that nobody has thought
// of.
#include <ATen/ops/isfinite.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "fathom/train/gradients.h"
#include "fathom/train/guards.h"
#include "fathom/train/optimizer.h"
#include "property/random_formula.h"
#include "property/random_plan.h"
#include "property/seen.h"

namespace fathom::property {
namespace {

class Wirings : public PropertyTest {};

std::unique_ptr<NextTokenModel> wired_model(const ModelConfig& config, at::ScalarType dtype) {
  auto model = model_of(config, kVocab, dtype);
  disturb(*model, 0.3);
  return model;
}

const DepthModel& walk_of_wired(const NextTokenModel& model) {
  return dynamic_cast<const DepthModel&>(model);
}

// Through all layers, who halts being computed on or not as the policy says; nothing is read out.
Tensor end_of_walk(const NextTokenModel& model, const Batch& batch, WalkCache* cache = nullptr) {
  const at::NoGradGuard no_grad;
  WalkOptions options = walk_options(/*training=*/false);
  options.cache = cache;
  const DepthModel& depth = walk_of_wired(model);
  return depth.walk()
      .run(depth.program(), batch, options)
      .end.r_RC.view({batch.tokens_BT.size(0), batch.tokens_BT.size(1), -1});
}

// The largest difference of a walk in pieces of `piece` positions from the whole one.
double gap_in_pieces(const NextTokenModel& model, Batch batch, int64_t piece) {
  batch.targets_BT = Tensor();
  batch = with_positions(std::move(batch));
  const int64_t B = batch.tokens_BT.size(0), T = batch.tokens_BT.size(1);
  const Tensor whole_BTC = end_of_walk(model, batch);
  WalkCache cache(B, T);
  double largest = 0;
  for (int64_t first = 0; first < T; first += piece) {
    const int64_t count = std::min(piece, T - first);
    const Tensor part_BTC = end_of_walk(model, positions(batch, first, count), &cache);
    largest = std::max(largest, relative_gap(part_BTC, whole_BTC.narrow(1, first, count)));
  }
  return largest;
}

// One step of plain descent; whether losses, gradients and the next loss are numbers.
bool can_be_trained(NextTokenModel& model, const Batch& batch) {
  const auto loss = [&] {
    return objective(model.forward(batch, {true, RandomField(3, 0, 0)}).losses);
  };
  const Tensor first = loss();
  if (!std::isfinite(first.item<double>())) return false;
  backward(first);
  const at::NoGradGuard no_grad;
  for (const Parameter& p : model.parameters().all()) {
    const Tensor g = p.tensor.grad();
    if (!g.defined()) continue;
    if (!at::isfinite(g).all().item<bool>()) return false;
    Tensor(p.tensor).sub_(g, 1e-3);
  }
  return std::isfinite(loss().item<double>());
}

// ---- Presets

TEST_F(Wirings, NothingBeforeATokenDependsOnIt) {
  const Batch batch = text_batch(2, kBlock, 3);
  for (const Case& c : preset_cases(true)) {
    SCOPED_TRACE(c.name);
    EXPECT_TRUE(c.causal);
    const auto model = wired_model(c.config, at::kFloat);
    const DepthModel& depth = walk_of_wired(*model);
    const auto see = [&](const Batch& b) {
      return look(depth.walk(), depth.program(), b, walk_options(false));
    };
    EXPECT_EQ(leak(see, batch), "");
  }
}

TEST_F(Wirings, APieceSeesTheEarlierOnesThroughACache) {
  for (const Case& c : preset_cases(true)) {
    SCOPED_TRACE(c.name);
    const auto model = wired_model(c.config, at::kDouble);
    for (const int64_t piece : {1, 4})
      EXPECT_LE(gap_in_pieces(*model, text_batch(2, kBlock, 5), piece), 1e-9);
  }
}

TEST_F(Wirings, AreTrained) {
  for (const Case& c : preset_cases(true)) {
    SCOPED_TRACE(c.name);
    EXPECT_TRUE(can_be_trained(*wired_model(c.config, at::kFloat), text_batch(3, kBlock, 7)));
  }
}

// Zero times zero has no gradient: what is added first is never learned.
TEST_F(Wirings, AProductThatIsFedByItselfTeachesTablesAlone) {
  const auto model = model_of(shrink(preset_config("recurse").model), kVocab, at::kDouble);
  backward(
      objective(model->forward(text_batch(3, kBlock, 7), {true, RandomField(3, 0, 0)}).losses));
  int of_blocks = 0, learning = 0;
  for (const Parameter& p : model->parameters().all()) {
    const Tensor g = p.tensor.grad();
    const bool learns = g.defined() && g.abs().max().item<double>() > 0;
    const bool of_block =
        p.spec.name.rfind("attention.", 0) == 0 || p.spec.name.rfind("mlp.", 0) == 0;
    of_blocks += of_block ? 1 : 0;
    learning += learns ? 1 : 0;
    EXPECT_FALSE(of_block && learns) << p.spec.name;
  }
  EXPECT_GT(of_blocks, 0);
  EXPECT_GT(learning, 0);
}

// A key's value, null where it says nothing.
Value wired_setting(ModelConfig config, const std::string& key) {
  FieldList list;
  add_fields(list, config);
  const Field* field = list.find(key);
  const Value value = field == nullptr ? Value() : field->value();
  return value == Value("") || value == Value("None") ? Value() : value;
}

// Where the gradient is the objective's: nothing is frozen, cut off or drawn.
TEST_F(Wirings, GradientsAgreeWithDifferences) {
  int cases = 0;
  for (const Case& c : preset_cases(true)) {
    const bool cut = !wired_setting(c.config, "reach").is_null();
    const bool judged = !wired_setting(c.config, "objective").is_null();
    if (cut || judged || c.config.halting.rule != HaltRule::kNone) continue;
    SCOPED_TRACE(c.name);
    ++cases;
    const auto model = wired_model(c.config, at::kDouble);
    const Batch batch = text_batch(3, kBlock, 3);
    const auto f = [&] {
      return objective(model->forward(batch, {true, RandomField(5, 1, 0)}).losses);
    };
    backward(f());
    const Slope slope = slope_of(f, model->parameters().all(), 7);
    EXPECT_LE(std::abs(slope.gradient - slope.difference),
              1e-5 * std::max(std::abs(slope.difference), 1e-3))
        << slope.gradient << " and " << slope.difference;
  }
  EXPECT_GT(cases, 25);
}

// The notebook's runs of 6-test began with a gradient norm of 2.0, where the same model with blocks
// that learn has 16.9: a factor of 5 at least, of its 12 layers (8 of them have 4.6).
TEST_F(Wirings, FrozenBlocksLeaveAFifthOfTheNormAtMost) {
  constexpr int64_t kLetters = 65;
  const Tensor text_BT = random_tokens({4, 33}, kLetters, 3);
  const Batch batch = batch_of(text_BT.narrow(1, 0, 32).clone(), text_BT.narrow(1, 1, 32).clone());
  for (const char* preset : {"6-test-1", "6-test-2"}) {
    SCOPED_TRACE(preset);
    double norms[2];
    for (const bool frozen : {false, true}) {
      RunConfig config = preset_config(preset);
      EXPECT_EQ(config.model.supervision.freeze_parts, "block");
      set_keys(config, {{"n_head", "4"}, {"n_embd", "128"}, {"vocab_size", "None"}});
      if (!frozen) config.model.supervision.freeze_parts = "";
      const auto model = model_of(config.model, kLetters, at::kFloat);
      backward(objective(model->forward(batch, {true, RandomField(3, 0, 0)}).losses));
      norms[frozen] = gradient_norm(model->parameters());
    }
    EXPECT_GT(norms[1], 0);
    EXPECT_GE(norms[0], 5 * norms[1]);
  }
}

// ---- All layers, or one

std::vector<Tensor> wired_gradients(NextTokenModel& model, const Batch& batch, Tensor* loss) {
  model.parameters().zero_grad();
  *loss = objective(model.forward(batch, {true, RandomField(5, 1, 0)}).losses);
  backward(*loss);
  std::vector<Tensor> all;
  for (const Parameter& p : model.parameters().all()) all.push_back(p.tensor.grad().clone());
  return all;
}

ModelConfig wired_and_trained_on(const std::string& layers, SupervisionReduce reduce) {
  RunConfig config = preset_config("10-resmlp");
  set_keys(config, {{"layer_supervision", layers}});
  config.model.supervision.reduce = reduce;
  config.model.backbone.n_layer = 3;
  ModelConfig model = shrink(config.model);
  return model;
}

TEST_F(Wirings, AWeightOnTheLastLayerAloneIsTheLastLayersLoss) {
  const Batch batch = text_batch(3, kBlock, 3);
  for (const SupervisionReduce reduce : {SupervisionReduce::kMean, SupervisionReduce::kSum}) {
    const auto weighted = wired_model(wired_and_trained_on("[0, 0, 1]", reduce), at::kDouble);
    const auto last = wired_model(wired_and_trained_on("last", reduce), at::kDouble);
    Tensor one, two;
    const std::vector<Tensor> a = wired_gradients(*weighted, batch, &one);
    const std::vector<Tensor> b = wired_gradients(*last, batch, &two);
    EXPECT_NEAR(one.item<double>(), two.item<double>(), 1e-14);
    for (size_t i = 0; i < a.size(); ++i) EXPECT_LE(gap(a[i], b[i]), 1e-14);
  }
}

// Without clipping Adam makes the same step of both.
TEST_F(Wirings, TheSumOfLayersIsTheirMeanTimesTheirNumber) {
  const Batch batch = text_batch(3, kBlock, 3);
  std::vector<Tensor> gradients[2], after[2];
  Tensor loss[2];
  for (const int k : {0, 1}) {
    const auto reduce = k == 0 ? SupervisionReduce::kMean : SupervisionReduce::kSum;
    const auto model = wired_model(wired_and_trained_on("all", reduce), at::kDouble);
    gradients[k] = wired_gradients(*model, batch, &loss[k]);
    OptimizerConfig adam;
    adam.adam_eps = 1e-20;
    Optimizer optimizer(model->parameters(), adam);
    optimizer.step(1e-2);
    for (const Parameter& p : model->parameters().all()) after[k].push_back(p.tensor.clone());
  }
  EXPECT_NEAR(loss[1].item<double>(), 3 * loss[0].item<double>(), 1e-12);
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < after[0].size(); ++i) {
    EXPECT_LE(gap(gradients[1][i], 3 * gradients[0][i]), 1e-12);
    // Of a gradient that is rounding alone the sign is no one's.
    const Tensor counts = gradients[0][i].abs().gt(1e-10);
    EXPECT_LE(gap(after[0][i] * counts, after[1][i] * counts), 1e-8);
  }
}

// ---- Formulas at random

// `--slow` asks for more of everything that is drawn.
unsigned formulas_to_try() {
  const char* executions = std::getenv("FATHOM_FUZZ_RUNS");
  return executions == nullptr ? 500 : 10000;
}

// Layers with all of the formula's settings, as small as they can be; false: refused.
bool make_wired(const RandomFormula& formula, ModelConfig& out) {
  RunConfig config;
  BackboneConfig& b = config.model.backbone;
  b.n_layer = b.n_head = 2;
  b.n_embd = 8;
  b.block_size = kBlock;
  b.bias = true;
  try {
    set_keys(config, {{"wiring", formula.text}});
    set_keys(config, formula.settings);
    validate(config.model);
    check_plan(make_depth_plan(config.model));
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage) << e.what();
    EXPECT_FALSE(e.hint().empty()) << e.what();
    return false;
  }
  out = config.model;
  return true;
}

// The first position at which a change of token `j` is seen before it; -1: nowhere.
int64_t leaks_at(const NextTokenModel& model, const Batch& batch, int64_t j) {
  const Tensor before_BTC = end_of_walk(model, batch);
  Batch changed = batch;
  changed.tokens_BT = batch.tokens_BT.clone();
  changed.tokens_BT.select(1, j).add_(1).remainder_(kVocab);
  const Tensor after_BTC = end_of_walk(model, changed);
  for (int64_t t = 0; t < j; ++t)
    if (relative_gap(before_BTC.select(1, t), after_BTC.select(1, t)) > 1e-12) return t;
  return -1;
}

// What a trainer says of the model's first loss; empty: it is a number.
std::string trouble_of(NextTokenModel& model, const Batch& batch) {
  const Tensor loss = objective(model.forward(batch, {true, RandomField(3, 0, 0)}).losses);
  const auto trouble = find_trouble(model, loss.item<double>(), 0, 1);
  return trouble ? trouble->what : "";
}

TEST_F(Wirings, AFormulaThatBlowsUpIsTold) {
  RunConfig config = preset_config("10-resmlp-single");
  set_keys(config, {{"wiring", "a = 1e38*r; b = a*a*a; c = b*b*b; r = r + c*A(n)"}});
  const auto model = model_of(shrink(config.model), kVocab, at::kDouble);
  disturb(*model, 0.2);
  const Batch batch = text_batch(2, kBlock, 3);
  EXPECT_FALSE(at::isfinite(end_of_walk(*model, batch)).all().item<bool>());
  EXPECT_EQ(trouble_of(*model, batch).rfind("the loss of pass 1 is not finite: ", 0), 0U);
  const auto plain = model_of(shrink(preset_config("axm").model), kVocab, at::kDouble);
  EXPECT_EQ(trouble_of(*plain, batch), "");
}

TEST_F(Wirings, FormulasAtRandomAreTrainedCausalAndCachedOrRefused) {
  constexpr int64_t kTokens = 6;
  int taken = 0, blown_up = 0;
  const unsigned tries = formulas_to_try();
  for (unsigned seed = 1; seed <= tries && !HasFailure(); ++seed) {
    RandomFormula formula(seed);
    std::string settings;
    for (const auto& [key, value] : formula.settings) settings += fmt::format(" {}={}", key, value);
    SCOPED_TRACE(fmt::format("{}: {}{}", seed, formula.text, settings));
    ModelConfig config;
    if (!make_wired(formula, config)) continue;
    ++taken;
    const auto model = model_of(config, kVocab, at::kDouble);
    disturb(*model, 0.2);
    const Batch batch = text_batch(2, kTokens, seed);
    // Products of products may grow beyond all numbers, which the trainer says before it moves a
    // weight.
    if (!at::isfinite(end_of_walk(*model, batch)).all().item<bool>()) {
      ++blown_up;
      EXPECT_EQ(trouble_of(*model, batch).rfind("the loss of pass 1 is not finite: ", 0), 0U);
      continue;
    }
    EXPECT_EQ(leaks_at(*model, batch, formula.any(1, kTokens - 1)), -1);
    EXPECT_LE(gap_in_pieces(*model, batch, formula.any(1, 3)), 1e-9);
    EXPECT_TRUE(can_be_trained(*model, batch));
  }
  EXPECT_GT(taken, static_cast<int>(tries) / 4);
  // So that nearly all that is taken is tested: 2 % of it at most.
  RecordProperty("taken", taken);
  RecordProperty("blown_up", blown_up);
  EXPECT_LE(blown_up * 50, taken) << "of " << taken << " formulas";
}

}  // namespace
}  // namespace fathom::property
