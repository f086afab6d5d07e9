// Losses of programs: who is asked for what, and how far from it an answer is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include "errors.h"
#include "experiments/dag/programs.h"

namespace fathom::testing::dag_losses {
namespace {

using namespace fathom::dag;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Operation kPlus = Operation::kAdd, kTimes = Operation::kMultiply,
                    kKeep = Operation::kIdentity;

// 2 * (3 + 4), a stream, and -1.5 + 0.5, which is an operation shorter.
std::vector<Written> three_sequences() {
  return {{{2, 3, 4}, {kPlus, kTimes}, 14},
          {},
          {{-1.5, 0.5, 0}, {kKeep, kPlus}, -1, {1, 1, 0}, 1, Wording::kWords}};
}

std::vector<LossPart> losses_of(const Batch& batch, const Recorded& seen,
                                const DagSettings& settings, const LossWeights& weights = {}) {
  const AskedPrograms asked = asked_of(batch, settings.targets);
  const ProgramTargets targets = targets_of(batch, asked, settings);
  return structure_losses(said_of(seen, asked, batch, settings), targets, asked,
                          batch.tokens_BT.size(0), weights);
}

// sum / count by name.
std::map<std::string, double> means_of(const std::vector<LossPart>& parts) {
  std::map<std::string, double> means;
  for (const LossPart& part : parts) means[part.name] = part.sum.item<double>() / part.count;
  return means;
}

// Something else than the right program, everywhere.
Recorded differs(const Batch& batch, const DagSettings& settings) {
  Recorded seen = knows(batch, settings);
  const auto more = [](const Tensor& x, unsigned seed) {
    return random_normal(x.sizes(), seed).to(x.scalar_type());
  };
  seen.values_RV.sign = (seen.values_RV.sign + more(seen.values_RV.sign, 1)).tanh();
  seen.values_RV.log = seen.values_RV.log + more(seen.values_RV.log, 2);
  seen.op_RX = more(seen.op_RX, 3)
                   .view({-1, settings.depth, int64_t(settings.operations.size())})
                   .softmax(-1)
                   .view_as(seen.op_RX);
  return seen;
}

class StructureLossTest : public ::testing::TestWithParam<Targets> {
 protected:
  DagSettings settings(int64_t depth = 2) const {
    DagSettings s = stack_settings(depth);
    s.targets = GetParam();
    return s;
  }
  // Of the sequences with a program.
  static int64_t asked_rows() { return GetParam() == Targets::kToken ? 2 : 1; }
};

TEST_P(StructureLossTest, OfThePerfectProgramIsNone) {
  const Batch batch = batch_of_programs(three_sequences(), 2);
  for (const auto& [name, mean] : means_of(losses_of(batch, knows(batch, settings()), settings())))
    EXPECT_NEAR(mean, 0, 1e-7) << name;
}

TEST_P(StructureLossTest, CountsWhatIsUsedBeforeAndAfterTheWalk) {
  const Batch batch = batch_of_programs(three_sequences(), 2);
  const auto parts = losses_of(batch, differs(batch, settings()), settings());
  const auto counts = structure_counts(targets_of(batch, asked_of(batch, GetParam()), settings()));
  const auto n = static_cast<double>(asked_rows());
  EXPECT_EQ(counts,
            (std::map<std::string, double>{{"sign", 5 * n}, {"log", 5 * n}, {"op", 4 * n}}));
  ASSERT_EQ(parts.size(), 3U);
  for (const LossPart& part : parts) EXPECT_EQ(part.count, counts.at(part.name)) << part.name;
}

TEST_P(StructureLossTest, IsAsBigAsItsWeight) {
  const Batch batch = batch_of_programs(three_sequences(), 2);
  const Recorded seen = differs(batch, settings());
  const auto once = means_of(losses_of(batch, seen, settings()));
  const auto more = means_of(losses_of(batch, seen, settings(), {2, 0.5, 3}));
  EXPECT_GT(once.at("sign"), 0.01);
  EXPECT_NEAR(more.at("sign"), 2 * once.at("sign"), 1e-6);
  EXPECT_NEAR(more.at("log"), 0.5 * once.at("log"), 1e-6);
  EXPECT_NEAR(more.at("op"), 3 * once.at("op"), 1e-6);
  const auto parts = losses_of(batch, seen, settings(), {0, 0, 1});
  ASSERT_EQ(parts.size(), 1U);
  EXPECT_EQ(parts[0].name, "op");
}

// Exactly what identity drops, and rows that nobody asks, may be anything.
TEST_P(StructureLossTest, LeavesOutWhatIsMasked) {
  const Batch batch = batch_of_programs(three_sequences(), 2);
  const Recorded seen = differs(batch, settings());
  const auto all = means_of(losses_of(batch, seen, settings()));
  const auto with_log = [&](int64_t row, int64_t value) {
    Recorded other = seen;
    other.values_RV.log = seen.values_RV.log.clone();
    other.values_RV.log[row][value] = std::numeric_limits<float>::infinity();
    return means_of(losses_of(batch, other, settings()));
  };
  EXPECT_EQ(with_log(11, 2), all) << "the value that the identity of the third sequence drops";
  EXPECT_EQ(with_log(7, 1), all) << "a stream's row";
  EXPECT_NE(with_log(11, 1), all);
  EXPECT_NE(with_log(2, 2), all);
  EXPECT_EQ(with_log(9, 0) == all, GetParam() == Targets::kToken) << "before the last operand";
}

// Splitting a step changes nothing: sums and counts of its passes add up.
TEST_P(StructureLossTest, OfAStepIsThatOfItsPasses) {
  std::vector<Written> sequences = three_sequences();
  sequences.push_back({{-5, 0.25, 8}, {kTimes, kTimes}, -10});
  const Batch batch = batch_of_programs(sequences, 2);
  const Recorded seen = differs(batch, settings());
  const auto whole = losses_of(batch, seen, settings());
  const auto half = [&](int64_t first) {
    const Batch some = map_columns(batch, [&](const Tensor& x) { return x.narrow(0, first, 2); });
    const auto rows = [&](const Tensor& x) {
      return x.narrow(0, first * kWrittenT, 2 * kWrittenT);
    };
    Recorded part;
    part.values_RV.sign = rows(seen.values_RV.sign);
    part.values_RV.log = rows(seen.values_RV.log);
    part.op_RX = rows(seen.op_RX);
    return losses_of(some, part, settings());
  };
  const auto first = half(0), second = half(2);
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(first[i].count + second[i].count, whole[i].count);
    EXPECT_NEAR((first[i].sum + second[i].sum).item<double>(), whole[i].sum.item<double>(), 1e-4);
  }
  const at::NoGradGuard no_grad;
  for (const LossPart& part : losses_of(batch, seen, settings())) {
    ASSERT_EQ(part.sum_B.sizes(), at::IntArrayRef{4});
    EXPECT_NEAR(part.sum_B.sum().item<double>(), part.sum.item<double>(), 1e-4);
    EXPECT_EQ(part.count_B.sum().item<double>(), part.count);
    EXPECT_EQ(part.count_B[1].item<double>(), 0) << "the stream";
  }
}

// Identities are executed first, over values on top that are not there.
TEST_P(StructureLossTest, AShallowerProgramIsFilledUp) {
  const Batch batch = batch_of_programs(three_sequences(), 2);
  const ProgramTargets targets = targets_of(batch, asked_of(batch, GetParam()), settings(4));
  const auto identity = static_cast<double>(kKeep);
  EXPECT_THAT(numbers(targets.op_PD[0]),
              ElementsAre(identity, identity, double(kPlus), double(kTimes)));
  EXPECT_THAT(numbers(targets.used_PV[0]), ElementsAre(1, 1, 1, 0, 0));
  EXPECT_THAT(numbers(targets.sign_PV[-1]), ElementsAre(-1, 1, 1, 1, 1));
  const Error error = caught([&] { targets_of(batch, asked_of(batch, GetParam()), settings(1)); });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_THAT(error.what(), HasSubstr("numbers_depth = 2 do not fit dag_depth = 1"));
}

TEST_P(StructureLossTest, NobodyIsAskedWithoutPrograms) {
  Batch plain;
  plain.tokens_BT = random_tokens({2, 4}, 5, 1);
  EXPECT_EQ(asked_of(plain, GetParam()).count(), 0);
  EXPECT_EQ(asked_of(batch_of_programs({{}, {}}, 2), GetParam()).count(), 0);
}

TEST_P(StructureLossTest, AnOperationThatTheModelHasNotIsRefused) {
  DagSettings few = settings();
  few.operations = {kKeep, kTimes};
  const Batch batch = batch_of_programs(three_sequences(), 2);
  const Recorded seen = knows(batch, few);
  const Error error = caught([&] { losses_of(batch, seen, few); });
  EXPECT_THAT(error.what(), HasSubstr("dag_ops"));
  EXPECT_THAT(error.what(), HasSubstr("number_operations"));
  EXPECT_EQ(losses_of(batch, seen, few, {1, 1, 0}).size(), 2U) << "where nobody asks for it";
}

INSTANTIATE_TEST_SUITE_P(Both, StructureLossTest,
                         ::testing::Values(Targets::kToken, Targets::kSequence));

TEST(StructureLoss, OfASequenceIsOfTheMeanOverItsValidTokens) {
  DagSettings settings = stack_settings();
  settings.targets = Targets::kSequence;
  Batch batch = batch_of_programs({three_sequences()[0]}, 2);
  Recorded seen = knows(batch, settings);
  // Off by 1 at the first token and by -1 at the second: right in the mean of these two.
  seen.values_RV.log = seen.values_RV.log.clone();
  seen.values_RV.log[0] += 1;
  seen.values_RV.log[1] -= 1;
  seen.values_RV.log[2] += 40;
  EXPECT_NEAR(means_of(losses_of(batch, seen, settings)).at("log"), 100, 1e-3);
  batch.valid_BT = table_of({{1, 1, 0, 0}}).to(at::kBool);
  EXPECT_NEAR(means_of(losses_of(batch, seen, settings)).at("log"), 0, 1e-6);
}

TEST(StructureLoss, TeachesThoseThatAreAskedAlone) {
  const DagSettings settings = stack_settings();
  const Batch batch = batch_of_programs(three_sequences(), 2);
  Recorded seen = differs(batch, settings);
  for (Tensor* x : {&seen.values_RV.sign, &seen.values_RV.log, &seen.op_RX})
    *x = x->detach().requires_grad_(true);
  Tensor sum;
  for (const LossPart& part : losses_of(batch, seen, settings))
    sum = sum.defined() ? sum + part.sum : part.sum;
  backward(sum);
  for (const Tensor& x : {seen.values_RV.sign, seen.values_RV.log, seen.op_RX}) {
    const Tensor moved_R = x.grad().ne(0).any(1);
    EXPECT_THAT(numbers(moved_R), ElementsAre(0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1));
  }
}

// A stream of two lines: each row is asked for its own line's program, by what it says.
TEST(StructureLoss, OfAStreamIsOfItsLinesPrograms) {
  const DagSettings settings = stack_settings();
  const std::vector<Written> lines = {{{2, 3, 4}, {kPlus, kTimes}, 14},
                                      {{-1.5, 0.5, 0}, {kKeep, kPlus}, -1, {1, 1, 0}, 1}};
  const Batch alone = batch_of_programs(lines, 2);
  Batch stream;
  stream.tokens_BT = at::ones({2, 5}, at::TensorOptions(at::kLong));
  for (const auto& [name, of_two] : alone.labels) {
    if (name == kSupervised || name == kResult) continue;
    // Of the sequence none, then the two; and a sequence that is the second line alone.
    const Tensor none = at::zeros_like(of_two[0]);
    stream.labels[name] =
        at::stack({at::cat({none, of_two[0], of_two[1]}), at::cat({of_two[1], none, none})});
  }
  stream.labels[kSupervised] = table_of({{0, 2, 2, 0, 3}, {0, 0, 0, 1, 1}}).to(at::kLong);
  const AskedPrograms asked = asked_of(stream, Targets::kToken);
  EXPECT_THAT(numbers(asked.row_P), ElementsAre(1, 2, 4, 8, 9));
  EXPECT_THAT(numbers(asked.sequence_P), ElementsAre(0, 0, 0, 1, 1));
  EXPECT_THAT(numbers(asked.number_P), ElementsAre(1, 1, 2, 3, 3));
  const ProgramTargets targets = targets_of(stream, asked, settings);
  const ProgramTargets each = targets_of(alone, asked_of(alone, Targets::kSequence), settings);
  const Tensor which_P = table_of({{0, 0, 1, 1, 1}}).to(at::kLong).flatten();
  for (const auto& [of_stream, of_line] : {std::pair{targets.sign_PV, each.sign_PV},
                                           {targets.log_PV, each.log_PV},
                                           {targets.used_PV, each.used_PV},
                                           {targets.op_PD, each.op_PD},
                                           {targets.value_P, each.value_P},
                                           {targets.real_P, each.real_P},
                                           {targets.wording_P, each.wording_P}})
    EXPECT_TRUE(at::equal(of_stream, of_line.index_select(0, which_P)));
  const AskedPrograms whole = asked_of(stream, Targets::kSequence);
  EXPECT_THAT(numbers(whole.sequence_P), ElementsAre(1)) << "a stream has no program of its own";
  EXPECT_THAT(numbers(whole.number_P), ElementsAre(3));
  EXPECT_THAT(numbers(targets_of(stream, whole, settings).value_P), ElementsAre(-1));
}

// Hand-made figures of one value and one operation.
TEST(StructureLoss, IsWhatItsFormulaSays) {
  const DagSettings settings = stack_settings(1);
  const Batch batch = batch_of_programs({{{-2, 5}, {kTimes}, -10}}, 1);
  Recorded seen = knows(batch, settings);
  seen.values_RV.sign = seen.values_RV.sign.new_zeros({4, 2}).fill_(0.5);
  seen.values_RV.log = seen.values_RV.log + 3;
  seen.op_RX = seen.op_RX.new_zeros({4, 5}).fill_(0.2);
  const auto means = means_of(losses_of(batch, seen, settings));
  EXPECT_NEAR(means.at("sign"), (1.5 * 1.5 + 0.5 * 0.5) / 2, 1e-6);
  EXPECT_NEAR(means.at("log"), 9, 1e-5);
  EXPECT_NEAR(means.at("op"), -std::log(0.2), 1e-6);
}

TEST(StructureLoss, OfRealNumbersIsNoneWhereTheyAreRight) {
  DagSettings settings = stack_settings();
  settings.domain = dag::Domain::kLinear;
  const Batch batch = batch_of_programs(three_sequences(), 2);
  Recorded seen = knows(batch, stack_settings());
  seen.values_RV = {seen.values_RV.sign * seen.values_RV.log.exp(), {}, {}};
  for (const auto& [name, mean] : means_of(losses_of(batch, seen, settings)))
    EXPECT_NEAR(mean, 0, 1e-7) << name;
  seen.values_RV.real = -seen.values_RV.real;
  EXPECT_NEAR(means_of(losses_of(batch, seen, settings)).at("sign"), 4, 1e-5);
}

}  // namespace
}  // namespace fathom::testing::dag_losses
