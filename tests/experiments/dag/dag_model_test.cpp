// The model that is trained on programs: its objective, its metrics, and what it is with them off.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/ops/log_softmax.h>

#include "errors.h"
#include "experiments/dag/dag_config.h"
#include "experiments/dag/programs.h"
#include "model/testing.h"

namespace fathom::testing::dag_models {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kVocab = 11;

std::unique_ptr<Model> dag_model(const DagKeys& keys, bool predictor = false) {
  DagKeys all = {{"dag_executor", "stack"}, {"dag_depth", "2"}};
  all.insert(all.end(), keys.begin(), keys.end());
  auto model = make_model(dag_config(all, predictor), kVocab, 1, at::kCPU, at::kDouble);
  disturb(*model, 0.2);
  return model;
}

Batch labelled() {
  using O = Operation;
  Batch batch = batch_of_programs({{{2, 3, 4}, {O::kAdd, O::kMultiply}, 14},
                                   {},
                                   {{-1.5, 0.5, 0}, {O::kIdentity, O::kAdd}, -1, {1, 1, 0}, 1},
                                   {{6, -2, 5}, {O::kDivide, O::kSubtract}, 6.4}},
                                  2);
  batch.tokens_BT = random_tokens({4, kWrittenT}, kVocab, 3);
  batch.targets_BT = random_tokens({4, kWrittenT}, kVocab, 4);
  return batch;
}

Pass training() {
  Pass pass;
  pass.training = true;
  return pass;
}

std::map<std::string, double> sums_of(const ModelOutput& output) {
  std::map<std::string, double> sums;
  for (const LossPart& part : output.losses) sums[part.name] = part.sum.item<double>();
  return sums;
}

TEST(DagModel, LearnsTheNextTokenAndPrograms) {
  const Batch batch = labelled();
  const auto model = dag_model({});
  const ModelOutput output = model->forward(batch, training());
  const auto once = sums_of(output);
  ASSERT_EQ(once.size(), 4U);
  EXPECT_FALSE(output.optimises_its_loss());
  EXPECT_EQ(output.loss.sum.item<double>(), once.at("loss")) << "the answer's";
  const auto other = sums_of(
      dag_model({{"lm_loss_weight", "2"}, {"plan_loss_weight", "0.5"}, {"op_loss_weight", "3"}})
          ->forward(batch, training()));
  EXPECT_NEAR(other.at("loss"), 2 * once.at("loss"), 1e-9);
  EXPECT_NEAR(other.at("sign"), 0.5 * once.at("sign"), 1e-9);
  EXPECT_NEAR(other.at("log"), 0.5 * once.at("log"), 1e-9);
  EXPECT_NEAR(other.at("op"), 1.5 * once.at("op"), 1e-9);
  const auto counts = model->known_counts(batch, training());
  for (const LossPart& part : output.losses) EXPECT_EQ(part.count, counts.at(part.name));
}

TEST(DagModel, WithoutAWeightLeavesAPartOut) {
  const Batch batch = labelled();
  EXPECT_EQ(sums_of(dag_model({{"lm_loss_weight", "0"}})->forward(batch, training())).count("loss"),
            0U);
  const auto plain = dag_model({{"plan_loss_weight", "0"}});
  const ModelOutput output = plain->forward(batch, training());
  EXPECT_EQ(output.losses.size(), 1U);
  EXPECT_TRUE(output.optimises_its_loss());
  // What is not asked for need not fit.
  const Batch deep = batch_of_programs({{{1, 2, 3, 4}, std::vector(3, Operation::kAdd), 10}}, 3);
  EXPECT_EQ(plain->forward(deep, training()).losses.size(), 1U);
  EXPECT_NO_THROW(plain->known_counts(deep, training()));
  const auto model = dag_model({});
  EXPECT_THAT(caught([&] { model->forward(deep, training()); }).what(), HasSubstr("dag_depth"));
}

TEST(DagModel, OfPlainTextIsTrainedOnTheNextToken) {
  Batch batch = labelled();
  batch.labels.clear();
  const ModelOutput output = dag_model({})->forward(batch, training());
  EXPECT_EQ(output.losses.size(), 1U);
  EXPECT_EQ(output.metrics.count("op_accuracy") + output.metrics.count("result_loss"), 0U);
  EXPECT_EQ(output.metrics.count("dag/op_sharpness"), 1U);
}

// A list begins with one number of its own: none of a program's operands is its label.
TEST(DagModel, WithAListLearnsTheNextTokenAlone) {
  const Batch batch = labelled();
  const auto model = dag_model({{"dag_executor", "scratch"}});
  const ModelOutput output = model->forward(batch, training());
  EXPECT_EQ(sums_of(output).count("loss"), 1U);
  EXPECT_EQ(output.losses.size(), 1U);
  EXPECT_EQ(output.metrics.count("op_accuracy"), 0U);
  EXPECT_EQ(output.metrics.count("result_loss"), 1U);
  EXPECT_EQ(model->known_counts(batch, training()).count("op"), 0U);
}

TEST(DagModel, ThatPredictsIsAsGoodAsItsPrograms) {
  const Batch batch = labelled();
  const auto model = dag_model({}, /*predictor=*/true);
  EXPECT_EQ(model->next_token_model(), nullptr);
  const ModelOutput output = model->forward(batch, training());
  EXPECT_EQ(sums_of(output).size(), 3U);
  EXPECT_TRUE(output.optimises_its_loss());
  const at::NoGradGuard no_grad;
  const ModelOutput told = model->forward(batch, {});
  EXPECT_EQ(told.metrics.count("op_accuracy_baseline"), 1U);
  for (const LossPart& part : told.losses)
    EXPECT_NEAR(part.sum_B.sum().item<double>(), part.sum.item<double>(), 1e-9);
}

// With a DAG and without one, as the model without one has it.
TEST(DagModel, TellsHowGoodResultsAre) {
  const Batch batch = labelled();
  const at::NoGradGuard no_grad;
  for (const char* depth : {"0", "2"}) {
    const auto model = dag_model({{"dag_depth", depth}});
    const ModelOutput output = model->forward(batch, {});
    const Tensor ln_p_BTV = at::log_softmax(model->next_token_model()->logits(batch.tokens_BT), -1);
    const Tensor ln_p_B = ln_p_BTV.gather(2, batch.targets_BT.unsqueeze(2)).select(1, 3).flatten();
    EXPECT_NEAR(output.metrics.at("result_loss").sum, -ln_p_B.sum().item<double>(), 1e-8);
    EXPECT_EQ(output.metrics.at("result_loss").count, 4);
    EXPECT_EQ(
        output.metrics.at("result_accuracy").sum,
        ln_p_BTV.select(1, 3).argmax(-1).eq(batch.targets_BT.select(1, 3)).sum().item<double>());
  }
}

// Sums of two halves are the whole's.
TEST(DagModel, OfAStepDoesNotDependOnItsDivision) {
  const Batch batch = labelled();
  for (const char* targets : {"token", "sequence"}) {
    const auto model = dag_model({{"dag_targets", targets}});
    const auto whole = sums_of(model->forward(batch, training()));
    std::map<std::string, double> halves;
    for (const int64_t first : {0, 2}) {
      const auto half = [&](const Tensor& x) { return x.narrow(0, first, 2); };
      for (const auto& [name, sum] : sums_of(model->forward(map_columns(batch, half), training())))
        halves[name] += sum;
    }
    for (const auto& [name, sum] : whole) EXPECT_NEAR(halves.at(name), sum, 1e-9) << name;
  }
}

// Slopes of the next token's loss alone come through what F.dag shows.
TEST(DagModel, TellsSlopesOfTheNextTokensLoss) {
  for (const char* fold : {"ln_scale", "gate"}) {
    const auto model = dag_model({{"plan_loss_weight", "0"}, {"dag_mix", fold}});
    const ModelOutput output = model->forward(labelled(), training());
    backward(output.losses.at(0).sum);
    const auto told = output.after_backward();
    EXPECT_NE(told.at("grad/op/add").sum, 0);
    for (const char* what : {"final_hidden", "final_values", "original"})
      EXPECT_GT(told.at(std::string("grad/") + what + "/norm").sum, 0) << what;
    EXPECT_EQ(told.count("grad/gate/norm"), fold == std::string("gate") ? 1U : 0U);
  }
}

}  // namespace
}  // namespace fathom::testing::dag_models
