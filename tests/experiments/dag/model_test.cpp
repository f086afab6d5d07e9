// The DAG's layer as it is computed: fold, shapes, and who depends on whom.
#include <ATen/ops/var.h>
#include <ATen/ops/zeros_like.h>

#include "experiments/dag/dag_config.h"
#include "experiments/dag/records.h"
#include "fathom/train/batches.h"
#include "model/walking.h"

namespace fathom {
namespace {

using namespace testing;

constexpr int64_t kDagVocab = 11;

// The model of the configuration, away from its initial weights; `plain` gets the same ones.
std::unique_ptr<NextTokenModel> disturbed(const ModelConfig& config, NextTokenModel* plain,
                                          at::ScalarType dtype = at::kFloat) {
  const at::NoGradGuard no_grad;
  auto model = model_of(config, kDagVocab, dtype);
  for (const Parameter& p : model->parameters().all()) {
    if (p.spec.init.kind == InitRule::kConstant) continue;
    Tensor(p.tensor).add_(random_normal(p.tensor.sizes(), 7), 0.2);
    const Tensor same = plain == nullptr ? Tensor() : plain->parameters().find(p.spec.name);
    if (same.defined()) Tensor(same).copy_(p.tensor);
  }
  return model;
}

// What F.dag and F.dag_fold show, by name.
std::map<std::string, Tensor> shown(const Model& model, const Tensor& tokens_BT,
                                    const std::vector<const char*>& names) {
  const at::NoGradGuard no_grad;
  Kept kept;
  for (const char* name : names) kept.keep(dag::seen_name(name));
  WalkOptions options;
  options.observe = kept.observer();
  const DepthProgram& program = depth(model).program();
  depth(model).walk().run(program, batch_of(tokens_BT, {}), options);
  std::map<std::string, Tensor> seen;
  for (const char* name : names)
    seen[name] = kept.at(int(program.steps.size()) - 1, dag::seen_name(name));
  return seen;
}

const DagKeys kStackKeys = {{"dag_executor", "stack"}};

DagKeys operator+(DagKeys a, const DagKeys& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(DagFold, WithoutScaleIsThePlainModelBitForBit) {
  const Tensor tokens_BT = random_tokens({3, 6}, kDagVocab, 1);
  for (const DagKeys& executor : {DagKeys(), kStackKeys})
    for (const DagKeys& beside :
         {DagKeys(), DagKeys{{"bias", "True"}, {"tie_head", "False"}, {"init", "torch"}},
          DagKeys{{"init", "takase"}}, DagKeys{{"dag_domain", "linear"}},
          DagKeys{{"loop_groups", "[[1]]"}, {"max_loops", "2"}}, DagKeys{{"dag_after", "1"}},
          DagKeys{{"dag_after", "1"}, {"loop_groups", "[[0]]"}, {"max_loops", "2"}},
          DagKeys{{"dag_after", "1"}, {"layer_heads", "True"}, {"tie_head", "False"}}}) {
      SCOPED_TRACE(executor.empty() ? "scratch" : "stack");
      SCOPED_TRACE(beside.empty() ? "" : beside.back().first);
      const auto plain = model_of(dag_config(beside + DagKeys{{"dag_depth", "0"}}), kDagVocab);
      const auto model =
          disturbed(dag_config(executor + beside + DagKeys{{"dag_scale", "0"}}), plain.get());
      const at::NoGradGuard no_grad;
      EXPECT_TRUE(at::equal(model->logits(tokens_BT), plain->logits(tokens_BT)));
      model->parameters().at("dag.scale.weight").fill_(0.1);
      EXPECT_FALSE(at::equal(model->logits(tokens_BT), plain->logits(tokens_BT)));
    }
}

TEST(DagFold, AClosedGateIsThePlainModel) {
  const at::NoGradGuard no_grad;
  const Tensor tokens_BT = random_tokens({3, 6}, kDagVocab, 1);
  const auto plain = model_of(dag_config({{"dag_depth", "0"}}), kDagVocab);
  for (const char* after : {"0", "1"}) {
    const auto model = disturbed(
        dag_config(kStackKeys + DagKeys{{"dag_mix", "gate"}, {"dag_after", after}}), plain.get());
    model->parameters().at("dag.gate.bias").fill_(-1e4);
    EXPECT_TRUE(at::equal(model->logits(tokens_BT), plain->logits(tokens_BT)));
  }
}

TEST(DagDepth, ZeroIsThePlainModel) {
  const ModelConfig config = dag_config({{"dag_depth", "0"}});
  ModelConfig plain = config;
  plain.architecture.reset();
  const auto a = model_of(config, kDagVocab), b = model_of(plain, kDagVocab);
  const std::vector<Tensor> of_a = tensors_of(*a), of_b = tensors_of(*b);
  ASSERT_EQ(of_a.size(), of_b.size());
  for (size_t i = 0; i < of_a.size(); ++i) EXPECT_TRUE(at::equal(of_a[i], of_b[i]));
  const at::NoGradGuard no_grad;
  const Tensor tokens_BT = random_tokens({2, 6}, kDagVocab, 1);
  EXPECT_TRUE(at::equal(a->logits(tokens_BT), b->logits(tokens_BT)));
}

// sigmoid(-2) where both means are 0. The stream's is: its norm has no bias, and all its weights
// are 1.
TEST(DagFold, TheGateBeginsNearlyClosed) {
  const at::NoGradGuard no_grad;
  const auto model =
      model_of(dag_config(kStackKeys + DagKeys{{"dag_mix", "gate"}}), kDagVocab, at::kDouble);
  const auto seen = shown(*model, random_tokens({3, 6}, kDagVocab, 1),
                          {dag::kGate, dag::kOriginal, dag::kHidden, dag::kMixed});
  const Tensor &g_R1 = seen.at(dag::kGate), &q_RH = seen.at(dag::kHidden);
  const Tensor expected_R1 = (-2 - 2 * q_RH.mean(-1, true)).sigmoid();
  EXPECT_LT((g_R1 - expected_R1).abs().max().item<double>(), 1e-12);
  EXPECT_NEAR(g_R1.mean().item<double>(), 0.1192, 0.01);
  EXPECT_LT(seen.at(dag::kOriginal).mean(-1).abs().max().item<double>(), 1e-12);
  EXPECT_LT(
      (seen.at(dag::kMixed) - seen.at(dag::kOriginal) - g_R1 * q_RH).abs().max().item<double>(),
      1e-12);
}

// What is added is a norm's output: a mean of 0 and a variance of 1, up to the norm's epsilon.
TEST(DagFold, AddsANormedVector) {
  const at::NoGradGuard no_grad;
  const auto model = model_of(dag_config({{"dag_scale", "0.5"}}), kDagVocab, at::kDouble);
  for (const Parameter& p : model->parameters().all())
    if (p.spec.shape.size() == 2) Tensor(p.tensor).mul_(20);
  const auto seen =
      shown(*model, random_tokens({3, 6}, kDagVocab, 1), {dag::kOriginal, dag::kMixed});
  const Tensor added_RH = (seen.at(dag::kMixed) - seen.at(dag::kOriginal)) / 0.5;
  EXPECT_LT(added_RH.mean(-1).abs().max().item<double>(), 1e-9);
  const Tensor variance_R = at::var(added_RH, at::IntArrayRef{-1}, /*unbiased=*/false);
  EXPECT_LT((variance_R - 1).abs().max().item<double>(), 1e-2);
}

// A step sees the slots before it, and of these its shares add up to 1.
TEST(DagScratch, OperandsAreSharesOfEarlierSlots) {
  const auto model = disturbed(dag_config(), nullptr, at::kDouble);
  const auto seen =
      shown(*model, random_tokens({2, 5}, kDagVocab, 1),
            {dag::kSign, dag::kOperand1, dag::kOperand2, dag::kOp, dag::kStepLog, dag::kCounts});
  const int64_t D = 3, S = 4, N = 4;
  EXPECT_EQ(seen.at(dag::kSign).sizes(), (at::IntArrayRef{10, 1}));
  EXPECT_EQ(seen.at(dag::kOp).sizes(), (at::IntArrayRef{10, D * N}));
  EXPECT_EQ(seen.at(dag::kStepLog).sizes(), (at::IntArrayRef{10, D}));
  EXPECT_EQ(seen.at(dag::kCounts).sizes(), (at::IntArrayRef{10, 5}));
  EXPECT_GT(seen.at(dag::kCounts).select(0, 0).select(0, 0).item<double>(), 0);
  EXPECT_EQ(seen.at(dag::kCounts).narrow(0, 1, 9).abs().max().item<double>(), 0);
  for (const char* name : {dag::kOperand1, dag::kOperand2}) {
    const Tensor p_RDS = seen.at(name).view({10, D, S});
    EXPECT_LT((p_RDS.sum(-1) - 1).abs().max().item<double>(), 1e-12);
    for (int64_t k = 0; k < D; ++k) {
      EXPECT_EQ(p_RDS.select(1, k).narrow(1, k + 1, S - k - 1).abs().max().item<double>(), 0);
      EXPECT_GT(p_RDS.select(1, k).narrow(1, 0, k + 1).min().item<double>(), 0);
    }
  }
}

TEST(DagStack, HasValuesForAllSlots) {
  const auto model = disturbed(dag_config(kStackKeys), nullptr, at::kDouble);
  const auto seen = shown(*model, random_tokens({2, 5}, kDagVocab, 1),
                          {dag::kSign, dag::kLog, dag::kSignLogits, dag::kLogLogits, dag::kOp});
  EXPECT_EQ(seen.at(dag::kLog).sizes(), (at::IntArrayRef{10, 4}));
  EXPECT_EQ(seen.at(dag::kOp).sizes(), (at::IntArrayRef{10, 15}));
  EXPECT_TRUE(at::equal(seen.at(dag::kSignLogits).tanh(), seen.at(dag::kSign)));
  EXPECT_TRUE(at::equal(10 * seen.at(dag::kLogLogits).tanh(), seen.at(dag::kLog)));
  EXPECT_LT(seen.at(dag::kLog).min().item<double>(), 0) << "numbers below 1 can be said";
}

// Programs, values and results before a token are the same to the bit, whatever it is.
TEST(DagPrograms, DoNotDependOnLaterTokens) {
  const Tensor tokens_BT = random_tokens({2, 6}, kDagVocab, 1);
  for (const bool predictor : {false, true})
    for (const DagKeys& executor : {DagKeys{{"dag_executor", "scratch"}}, kStackKeys}) {
      if (predictor && executor != kStackKeys) continue;  // which is refused
      const ModelConfig config = dag_config(executor, predictor);
      const auto model = make_model(config, kDagVocab, 1, at::kCPU, at::kFloat);
      {
        const at::NoGradGuard no_grad;
        disturb(*model, 0.2);
      }
      std::vector<const char*> names = {dag::kSign, dag::kLog, dag::kOp};
      if (!predictor) names.insert(names.end(), {dag::kStepSign, dag::kStepLog, dag::kMixed});
      const auto before = shown(*model, tokens_BT, names);
      for (int64_t j = 1; j < 6; ++j) {
        Tensor changed_BT = tokens_BT.clone();
        changed_BT.select(1, j).add_(1).remainder_(kDagVocab);
        const auto after = shown(*model, changed_BT, names);
        for (const char* name : names) {
          const auto until = [&](const Tensor& x) { return x.view({2, 6, -1}).narrow(1, 0, j); };
          EXPECT_TRUE(at::equal(until(before.at(name)), until(after.at(name)))) << name;
          EXPECT_FALSE(at::equal(before.at(name), after.at(name))) << name;
        }
      }
    }
}

// A token's list is its own: only attention, of the blocks before it and of its own, mixes
// positions.
TEST(DagPrograms, OfAListAreEachTokensOwnWithoutAttention) {
  const Tensor tokens_BT = random_tokens({2, 6}, kDagVocab, 1);
  Tensor changed_BT = tokens_BT.clone();
  changed_BT.select(1, 2).add_(1).remainder_(kDagVocab);
  const std::vector<const char*> names = {dag::kSign,     dag::kLog,      dag::kOp,
                                          dag::kOperand1, dag::kOperand2, dag::kStepSign,
                                          dag::kStepLog,  dag::kMixed};
  // Whether what is shown of the tokens before, at and behind the one that was changed is as it
  // was.
  const auto same = [&](const DagKeys& keys, const char* name) {
    const auto model = disturbed(dag_config(keys), nullptr);
    const Tensor x = shown(*model, tokens_BT, {name}).at(name).view({2, 6, -1});
    const Tensor y = shown(*model, changed_BT, {name}).at(name).view({2, 6, -1});
    std::vector<bool> parts;
    for (const auto& [begin, n] : {std::pair<int64_t, int64_t>{0, 2}, {2, 1}, {3, 3}})
      parts.push_back(at::equal(x.narrow(1, begin, n), y.narrow(1, begin, n)));
    return parts;
  };
  const DagKeys alone = {
      {"wiring", "r = r + M(n)"}, {"dag_pre_block", "False"}, {"dag_post_block", "False"}};
  for (const char* name : names) {
    EXPECT_EQ(same(alone, name), (std::vector<bool>{true, false, true})) << name;
    EXPECT_EQ(same({}, name), (std::vector<bool>{true, false, false})) << name;
  }
  // A list's own block looks back for its first number.
  EXPECT_EQ(same({{"wiring", "r = r + M(n)"}}, dag::kLog), (std::vector<bool>{true, false, false}));
}

// Under automatic casts the stack's c has no stream under it, and its numbers stay near those of
// single precision.
TEST(DagPrograms, AreComputedUnderAutomaticCasts) {
  const Tensor tokens_BT = random_tokens({2, 6}, kDagVocab, 1);
  for (const bool predictor : {false, true})
    for (const DagKeys& executor : {DagKeys{{"dag_executor", "scratch"}}, kStackKeys}) {
      if (predictor && executor != kStackKeys) continue;
      const auto model =
          make_model(dag_config(executor, predictor), kDagVocab, 1, at::kCPU, at::kFloat);
      std::vector<const char*> names = {dag::kSign, dag::kLog, dag::kOp};
      if (!predictor) names.insert(names.end(), {dag::kStepSign, dag::kStepLog, dag::kMixed});
      const auto expected = shown(*model, tokens_BT, names);
      const Autocast autocast(Precision::kBFloat16, at::kCPU);
      for (const auto& [name, x] : shown(*model, tokens_BT, names))
        EXPECT_LT(max_difference(x.to(at::kFloat), expected.at(name)), 0.1) << name;
    }
}

// Noise is training's: two evaluations choose alike, and two training passes do not.
TEST(DagSelect, DrawsInTrainingAlone) {
  const auto model = disturbed(dag_config({{"dag_select", "gumbel_st"}}), nullptr);
  const Tensor tokens_BT = random_tokens({2, 6}, kDagVocab, 1);
  const auto shares = [&](bool training, int64_t step) {
    const at::NoGradGuard no_grad;
    Kept kept = {dag::seen_name(dag::kOp)};
    WalkOptions options;
    options.training = training;
    options.random = RandomField(1, step, 0);
    options.observe = kept.observer();
    depth(*model).walk().run(depth(*model).program(), batch_of(tokens_BT, {}), options);
    return kept.at(2, dag::seen_name(dag::kOp));
  };
  EXPECT_TRUE(at::equal(shares(false, 0), shares(false, 1)));
  EXPECT_TRUE(at::equal(shares(true, 0), shares(true, 0)));
  EXPECT_FALSE(at::equal(shares(true, 0), shares(true, 1)));
  // One-hot forward.
  const Tensor drawn = shares(true, 0);
  EXPECT_TRUE(at::equal(drawn.gt(0.5).sum(), drawn.sum().round().to(at::kLong)));
}

}  // namespace
}  // namespace fathom
