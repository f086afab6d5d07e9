// The DAG's log, and the program of each token, by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/ops/eye.h>

#include "errors.h"
#include "experiments/dag/logger.h"
#include "experiments/dag/program_trace.h"
#include "experiments/dag/programs.h"

namespace fathom::testing::dag_logger {
namespace {

using namespace fathom::dag;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Metrics = std::map<std::string, Metric>;

double mean(const Metrics& metrics, const std::string& name) {
  const Metric& m = metrics.at(name);
  return m.sum / m.count;
}

DagSettings gated(Executor executor = Executor::kStack) {
  DagSettings settings = executor == Executor::kStack ? stack_settings(1) : list_settings(1);
  settings.fold = Fold::kGate;
  return settings;
}

// Three rows of one operation on two values, H = 2.
Recorded three_rows() {
  Recorded seen;
  seen.values_RV.sign = table_of({{1, 1}, {-1, 0.5}, {1, 1}});
  seen.values_RV.log = table_of({{0, std::log(2)}, {0, std::log(4)}, {9, 9}});
  seen.sign_logits_RV = table_of({{3, 4}, {0, 2}, {9, 9}});
  seen.log_logits_RV = table_of({{6, 8}, {5, 12}, {9, 9}});
  seen.op_RX = table_of({{1, 0, 0, 0, 0}, {0, 1, 0, 0, 0}, {0, 0, 0, 0, 1}});
  seen.op_logits_RX = table_of({{2, 0, 0, 0, 0}, {0, 4, 0, 0, 0}, {0, 0, 0, 0, 9}});
  seen.steps_RD.sign = table_of({{1}, {-1}, {1}});
  seen.steps_RD.log = table_of({{std::log(3)}, {std::log(5)}, {9}});
  seen.counts_RX = table_of({{15, 3, 5, 1, 0}, {0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}});
  seen.hidden_RH = table_of({{3, 4}, {0, 1}, {100, 0}});
  seen.original_RH = table_of({{0, 10}, {2, 0}, {1, 0}});
  seen.mixed_RH = table_of({{6, 8}, {0, 2}, {1, 1}});
  seen.gate_R1 = table_of({{0.25}, {0.75}, {1}});
  return seen;
}

TEST(OperationUse, OfCornersIsTheirs) {
  const auto use = [](const Tensor& p_MN) {
    const OperationUse u = operation_use(p_MN);
    return std::vector<double>{u.diversity, u.sharpness, u.mutual_information};
  };
  const auto is = [](double a, double b, double c) {
    return ElementsAre(DoubleNear(a, 1e-12), DoubleNear(b, 1e-12), DoubleNear(c, 1e-12));
  };
  const Tensor one_hot = at::eye(4, at::TensorOptions(at::kDouble));
  EXPECT_THAT(use(at::full({6, 4}, 0.25, one_hot.options())), is(1, 0, 0));
  EXPECT_THAT(use(one_hot.narrow(0, 2, 1).expand({6, 4})), is(0, 1, 0));
  EXPECT_THAT(use(one_hot), is(1, 1, 1));
  EXPECT_THAT(use(one_hot.narrow(0, 0, 2)), is(0.5, 1, 0.5));
  EXPECT_THAT(use(at::ones({3, 1}, one_hot.options())), is(0, 1, 0));
}

TEST(DagLog, SaysWhatTheDagDoes) {
  const Tensor valid_R = table_of({{1, 1, 0}})[0].to(at::kBool);
  const Metrics log = forward_log(three_rows(), valid_R, 1, gated(), false);
  EXPECT_EQ(mean(log, "dag/op_share.add"), 0.5);
  EXPECT_EQ(mean(log, "dag/op_share.identity"), 0) << "of the row that is padding";
  EXPECT_NEAR(mean(log, "dag/op_diversity"), std::log(2) / std::log(5), 1e-12);
  EXPECT_NEAR(mean(log, "dag/op_sharpness"), 1, 1e-12);
  EXPECT_NEAR(mean(log, "dag/op_mutual_info"), std::log(2) / std::log(5), 1e-12);
  // s e^l: the tops 2 and 0.5 * 4, the results 3 and -5.
  EXPECT_NEAR(mean(log, "dag/value/0"), 2, 1e-12);
  EXPECT_NEAR(mean(log, "dag/value/1"), -1, 1e-12);
  EXPECT_NEAR(mean(log, "dag/signed_log/0"), std::log(3), 1e-12);
  EXPECT_NEAR(mean(log, "dag/signed_log/1"), (std::log(4) - std::log(6)) / 2, 1e-12);
  EXPECT_EQ(mean(log, "dag/norm_sign_logits"), 3.5);
  EXPECT_EQ(mean(log, "dag/norm_log_logits"), 11.5);
  EXPECT_EQ(mean(log, "dag/norm_op_logits"), 3);
  EXPECT_NEAR(mean(log, "dag/norm_final_values"),
              (std::hypot(1, std::log(3)) + std::hypot(1, std::log(5))) / 2, 1e-12);
  // Of the last row that is no padding.
  EXPECT_EQ(mean(log, "dag/last/norm_original"), 2);
  EXPECT_EQ(mean(log, "dag/last/norm_dag"), 1);
  EXPECT_EQ(mean(log, "dag/last/norm_mixed"), 2);
  EXPECT_EQ(mean(log, "dag/last/norm_ratio"), 0.5);
  EXPECT_EQ(log.at("dag/last/norm_dag").count, 1);
  EXPECT_EQ(mean(log, "dag/gate_mean"), 0.5);
  EXPECT_EQ(mean(log, "dag/gate_max"), 0.75);
  EXPECT_EQ(mean(log, "dag/norm_original"), 6);
  EXPECT_EQ(mean(log, "dag/norm_dag"), 3);
  EXPECT_EQ(mean(log, "dag/norm_mixed"), 6);
  EXPECT_EQ(mean(log, "dag/norm_ratio"), 0.5);
  EXPECT_EQ(mean(log, "dag/clipped"), 0.2);
  EXPECT_NEAR(mean(log, "dag/cancelled"), 1. / 3, 1e-12);
  EXPECT_NEAR(mean(log, "dag/divided_by_zero"), 1. / 15, 1e-12);
  EXPECT_EQ(mean(log, "dag/nonfinite"), 0);
  EXPECT_EQ(mean(forward_log(three_rows(), {}, 1, gated(), false), "dag/norm_dag"), 106. / 3);
}

// Two sequences of three tokens, the second of which has none that is valid.
TEST(DagLog, TellsOfEachSequencesLastToken) {
  Recorded seen = three_rows();
  for (Tensor* x :
       {&seen.values_RV.sign, &seen.values_RV.log, &seen.sign_logits_RV, &seen.log_logits_RV,
        &seen.op_RX, &seen.op_logits_RX, &seen.steps_RD.sign, &seen.steps_RD.log, &seen.counts_RX,
        &seen.hidden_RH, &seen.original_RH, &seen.mixed_RH, &seen.gate_R1})
    *x = x->repeat({2, 1});
  const auto last = [&](const Tensor& valid_R, int64_t B) {
    const Metrics log = forward_log(seen, valid_R, B, gated(), false);
    return std::pair(mean(log, "dag/last/norm_dag"), log.at("dag/last/norm_dag").count);
  };
  EXPECT_EQ(last({}, 2), (std::pair<double, double>(100, 2)));
  EXPECT_EQ(last({}, 3), (std::pair<double, double>((1 + 5 + 100) / 3., 3)));
  const Tensor first_R = table_of({{1, 0, 0, 0, 0, 0}})[0].to(at::kBool);
  EXPECT_EQ(last(first_R, 2), (std::pair<double, double>(5, 1)));
}

// A row of e^60 is all of the mean, and a small part of the signed logs'.
TEST(DagLog, OneLargeValueDoesNotDecideTheSignedLogs) {
  Recorded seen = three_rows();
  seen.steps_RD.log[2][0] = 60;
  const Metrics log = forward_log(seen, {}, 1, gated(), false);
  EXPECT_NEAR(mean(log, "dag/value/1") / (std::exp(60) / 3), 1, 1e-9);
  EXPECT_NEAR(mean(log, "dag/signed_log/1"), (std::log(4) - std::log(6) + 60) / 3, 1e-9);
}

TEST(DagLog, HasNothingToSayWithoutADag) {
  EXPECT_THAT(recorded_names(stack_settings(0), false), IsEmpty());
  EXPECT_THAT(forward_log({}, {}, 1, stack_settings(0), false), IsEmpty());
  EXPECT_FALSE(gradient_log({}, stack_settings(0)));
  // Of a predictor only what it has.
  Recorded predictor = three_rows();
  predictor.hidden_RH = predictor.gate_R1 = Tensor();
  predictor.steps_RD = Numbers();
  const Metrics log = forward_log(predictor, {}, 1, gated(), false);
  EXPECT_EQ(log.count("dag/norm_dag"), 0U);
  EXPECT_EQ(log.count("dag/norm_final_values"), 0U);
  EXPECT_EQ(log.count("dag/op_sharpness"), 1U);
  EXPECT_EQ(log.count("dag/norm_log_logits"), 1U);
}

TEST(DagLog, TellsAPredictorsSlopes) {
  Recorded seen = three_rows();
  seen.hidden_RH = seen.gate_R1 = seen.original_RH = seen.mixed_RH = Tensor();
  seen.steps_RD = Numbers();
  for (Tensor* x : {&seen.op_RX, &seen.values_RV.sign, &seen.values_RV.log})
    *x = x->requires_grad_(true) * 1;
  const AfterBackward told = gradient_log(seen, gated());
  backward((seen.values_RV.sign * 2).sum() -
           (seen.values_RV.log * table_of({{1, 3}, {1, 3}, {1, 3}})).sum() + seen.op_RX.sum());
  const Metrics log = told();
  EXPECT_NEAR(mean(log, "grad/first_signs/norm"), std::sqrt(24), 1e-12);
  EXPECT_EQ(mean(log, "grad/first_signs/mean"), 2);
  EXPECT_EQ(mean(log, "grad/first_logs/mean"), -2);
  EXPECT_NEAR(mean(log, "grad/first_logs/std"), 1, 1e-12);
  EXPECT_EQ(mean(log, "grad/op/add"), 1);
  EXPECT_EQ(log.count("grad/final_values/norm") + log.count("grad/final_hidden/norm"), 0U);
}

// Gradients by hand: of sum of shares * c, of values that are multiplied, of a gate.
TEST(DagLog, TellsSlopes) {
  Recorded seen = three_rows();
  const auto live = [](Tensor& x) { x = x.requires_grad_(true) * 1; };
  for (Tensor* x : {&seen.op_RX, &seen.hidden_RH, &seen.gate_R1, &seen.original_RH,
                    &seen.steps_RD.sign, &seen.steps_RD.log})
    live(*x);
  const AfterBackward told = gradient_log(seen, gated());
  const Tensor share = table_of({{1, 2, 3, 4, 5}}), hidden = table_of({{1, -1}, {1, -1}, {2, 4}});
  backward((seen.op_RX * share).sum() + (seen.hidden_RH * hidden).sum() + (seen.gate_R1 * 3).sum() +
           (seen.steps_RD.sign * 2).sum() - seen.steps_RD.log.sum());
  const Metrics log = told();
  EXPECT_EQ(mean(log, "grad/op/add"), 1);
  EXPECT_EQ(mean(log, "grad/op/subtract"), 2);
  EXPECT_EQ(mean(log, "grad/op/identity"), 5);
  EXPECT_EQ(mean(log, "grad/op/mean"), 3);
  EXPECT_NEAR(mean(log, "grad/final_hidden/norm"), std::sqrt(24), 1e-12);
  EXPECT_EQ(mean(log, "grad/final_hidden/mean"), 1);
  EXPECT_NEAR(mean(log, "grad/final_hidden/std"), std::sqrt(3), 1e-12);
  EXPECT_EQ(mean(log, "grad/gate/mean"), 3);
  EXPECT_EQ(mean(log, "grad/gate/std"), 0);
  EXPECT_NEAR(mean(log, "grad/final_values/norm"), std::sqrt(15), 1e-12);
  EXPECT_EQ(mean(log, "grad/final_values/mean"), 0.5);
  EXPECT_EQ(mean(log, "grad/original/norm"), 0) << "the objective does not depend on it";
}

// As a walk of one step shows them.
class SeenDag {
 public:
  SeenDag(const DagSettings& settings, const Recorded& seen, const std::string& without = "")
      : settings_(settings) {
    Batch batch;
    batch.tokens_BT = at::ones({1, seen.op_RX.size(0)}, at::TensorOptions(at::kLong));
    state_.rows = std::make_shared<const Rows>(batch);
    for (const std::string& name : recorded_names(settings, false)) kept_.keep(name);
    const Observer observer = kept_.observer();
    const auto show = [&](const char* what, const Tensor& x) {
      if (x.defined() && what != without)
        observer.see({step_, seen_name(what), x, *state_.rows, state_});
    };
    show(kSign, seen.values_RV.sign);
    show(kLog, seen.values_RV.log);
    show(kSignLogits, seen.sign_logits_RV);
    show(kLogLogits, seen.log_logits_RV);
    show(kOp, seen.op_RX);
    show(kOpLogits, seen.op_logits_RX);
    show(kOperand1, seen.operand1_RX);
    show(kOperand2, seen.operand2_RX);
    show(kStepSign, seen.steps_RD.sign);
    show(kStepLog, seen.steps_RD.log);
    show(kCounts, seen.counts_RX);
    show(kHidden, seen.hidden_RH);
    show(kOriginal, seen.original_RH);
    show(kMixed, seen.mixed_RH);
    show(kGate, seen.gate_R1);
  }

  Recorded recorded() const { return dag::recorded(kept_, 1, settings_, false); }
  std::vector<TokenProgram> programs() const {
    return token_programs(kept_, 1, *state_.rows, settings_, false);
  }

 private:
  DagSettings settings_;
  StepSpec step_;
  WalkState state_;
  Kept kept_;
};

TEST(DagRecords, AreWhatTheWalkShows) {
  const Recorded seen = three_rows(), found = SeenDag(gated(), seen).recorded();
  EXPECT_TRUE(found.hidden_RH.is_same(seen.hidden_RH));
  EXPECT_TRUE(found.values_RV.log.is_same(seen.values_RV.log));
  EXPECT_TRUE(found.steps_RD.sign.is_same(seen.steps_RD.sign));
  EXPECT_TRUE(found.gate_R1.is_same(seen.gate_R1));
  EXPECT_TRUE(found.log_logits_RV.is_same(seen.log_logits_RV));
  for (const char* name : {kOp, kCounts, kGate, kOriginal, kLogLogits, kOpLogits})
    EXPECT_THAT(error_of([&] { SeenDag(gated(), seen, name).recorded(); }),
                HasSubstr(seen_name(name)));
}

TEST(TokenPrograms, AreAsTheyWereChosen) {
  const std::vector<TokenProgram> programs = SeenDag(gated(), three_rows()).programs();
  ASSERT_EQ(programs.size(), 3U);
  const TokenProgram& second = programs[1];
  EXPECT_EQ(second.position, 1);
  EXPECT_THAT(second.values, ElementsAre(-1, DoubleNear(2, 1e-12)));
  EXPECT_THAT(second.value_signs, ElementsAre(-1, 0.5));
  EXPECT_THAT(second.value_logs, ElementsAre(0, std::log(4)));
  EXPECT_THAT(second.operations, ElementsAre("subtract"));
  EXPECT_THAT(second.operation_shares, ElementsAre(1));
  EXPECT_THAT(second.all_shares, ElementsAre(ElementsAre(0, 1, 0, 0, 0)));
  EXPECT_THAT(second.operand1, IsEmpty());
  EXPECT_THAT(second.step_values, ElementsAre(DoubleNear(-5, 1e-12)));
  EXPECT_THAT(second.hard_values, ElementsAre(DoubleNear(-5, 1e-12))) << "-1 - 4";
  EXPECT_EQ(second.gate, 0.75);
}

TEST(TokenPrograms, OfAListHaveOperands) {
  Recorded seen = three_rows();
  seen.values_RV = {{}, table_of({{1}, {1}, {-1}}), table_of({{0}, {0}, {std::log(3)}})};
  seen.sign_logits_RV = seen.log_logits_RV = seen.values_RV.log;
  seen.op_RX = table_of({{1, 0, 0, 0}, {0, 1, 0, 0}, {0.1, 0.2, 0.6, 0.1}});
  seen.operand1_RX = table_of({{1, 0}, {1, 0}, {0.9, 0.1}});
  seen.operand2_RX = table_of({{1, 0}, {1, 0}, {0.7, 0.3}});
  const TokenProgram last = SeenDag(gated(Executor::kScratch), seen).programs().back();
  EXPECT_THAT(last.values, ElementsAre(DoubleNear(-3, 1e-12)));
  EXPECT_THAT(last.operations, ElementsAre("multiply"));
  EXPECT_THAT(last.operand1, ElementsAre(0U));
  EXPECT_THAT(last.operand2_shares, ElementsAre(0.7));
  EXPECT_THAT(last.hard_values, ElementsAre(DoubleNear(9, 1e-12)));
}

}  // namespace
}  // namespace fathom::testing::dag_logger
