// What a row is worth to the objective may be known before it is read: the losses are the same ones
// to the bit, and so are the gradients, but for rounding.
#include <ATen/ops/ones.h>
#include <ATen/ops/where.h>
#include <gtest/gtest.h>

#include <optional>

#include "fathom/model/supervision.h"
#include "model/spelled_terms.h"
#include "model/walking.h"

namespace fathom::testing {
namespace {

using Term = SpelledTerm;

constexpr int64_t kRowWeightsVocab = 11, kRowWeightsLayers = 3;

Term named_term(const std::string& name, Term::Gate gate, std::vector<double> weights) {
  Term term;
  term.name = name;
  term.gate = gate;
  term.weights = std::move(weights);
  return term;
}

Batch batch_with_weights(bool weights) {
  Batch batch = batch_of(random_tokens({3, 8}, kRowWeightsVocab, 1),
                         random_tokens({3, 8}, kRowWeightsVocab, 2));
  for (int64_t i = 0; i < 24; i += 5) batch.targets_BT.data_ptr<int64_t>()[i] = -1;
  if (weights) batch.weight_BT = random_normal({3, 8}, 3).abs().to(at::kFloat);
  return batch;
}

struct Taught {
  std::vector<LossPart> parts;
  std::vector<Tensor> gradients;
  std::vector<bool> summed;  // by readout
};

// With a `cap` rows halt by draws.
Taught teach(const SupervisionTable& table, const Batch& batch, at::ScalarType type, bool known,
             std::optional<double> cap = {}) {
  ModelConfig config = exit_config(0.12, kRowWeightsLayers);
  if (cap) config.halting.rule = HaltRule::kBernoulli;
  config.halting.cap = cap;
  const auto model = model_of(config, kRowWeightsVocab, type);
  disturb(*model, 0.5);
  const DepthModel& m = depth(*model);
  Kept kept;
  WalkOptions options = with_needs(table, {}, kept);
  if (known)
    options.row_weights =
        row_weights(table, batch, m.program().policy.halting.config.probability_cap());
  const Trace trace = m.walk().run(m.program(), batch, options);
  Taught taught;
  const DepthProgram program = m.program();
  taught.parts = supervise(table, {m.walk(), program, batch, options, trace, kept});
  Tensor sum;
  for (const LossPart& part : taught.parts) {
    if (!part.sum.requires_grad()) continue;
    const Tensor mean = part.sum / part.count;
    sum = sum.defined() ? sum + mean : mean;
  }
  backward(sum);
  for (const Tensor& t : tensors_of(*model)) taught.gradients.push_back(t.grad());
  for (const StepRecord* r : trace.readouts())
    taught.summed.push_back(r->reading.weighted.defined());
  return taught;
}

void expect_same(const Taught& a, const Taught& b, double tolerance) {
  ASSERT_EQ(a.parts.size(), b.parts.size());
  for (size_t i = 0; i < a.parts.size(); ++i) {
    EXPECT_EQ(a.parts[i].name, b.parts[i].name);
    EXPECT_EQ(a.parts[i].count, b.parts[i].count);
    EXPECT_TRUE(same_bits(a.parts[i].sum.detach(), b.parts[i].sum.detach())) << a.parts[i].name;
  }
  for (size_t i = 0; i < a.gradients.size(); ++i) {
    ASSERT_EQ(a.gradients[i].defined(), b.gradients[i].defined()) << i;
    if (!a.gradients[i].defined()) continue;
    if (tolerance == 0)
      EXPECT_TRUE(same_bits(a.gradients[i], b.gradients[i])) << i;
    else
      EXPECT_LE(max_difference(a.gradients[i], b.gradients[i]), tolerance) << i;
  }
}

TEST(RowWeights, OfEveryGateThatIsKnownBeforehand) {
  for (const Term::Gate gate : {Term::kEvery, Term::kAsked})
    for (const Term::Denominator denominator : {Term::kTargets, Term::kGated})
      for (const bool weights : {false, true})
        for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
          Term term = named_term("loss", gate, {0.5, 1, 0.25});
          term.denominator = denominator;
          const Batch batch = batch_with_weights(weights);
          const Taught by_row = teach({term}, batch, type, false),
                       at_once = teach({term}, batch, type, true);
          EXPECT_EQ(by_row.summed, std::vector<bool>(kRowWeightsLayers, false));
          EXPECT_EQ(at_once.summed, std::vector<bool>(kRowWeightsLayers, true));
          expect_same(at_once, by_row, type == at::kDouble ? 1e-15 : 1e-6);
        }
}

// Two terms behind one gate share the sum, whatever their weights are.
TEST(RowWeights, OfSeveralTermsBehindOneGate) {
  const SupervisionTable table = {named_term("a", Term::kAsked, {1, 0, 2}),
                                  named_term("b", Term::kAsked, {0.25, 1})};
  const Batch batch = batch_with_weights(false);
  const Taught at_once = teach(table, batch, at::kFloat, true);
  EXPECT_EQ(at_once.summed, std::vector<bool>(kRowWeightsLayers, true));
  expect_same(at_once, teach(table, batch, at::kFloat, false), 1e-6);
}

// Layer by layer: where terms stand behind different gates, or one is no cross entropy of the
// walk's own answers, nothing is said beforehand.
TEST(RowWeights, OfNothingElse) {
  Term max = named_term("max", Term::kEvery, {0, 1});
  max.signal = Term::kMax;
  Term probability = named_term("p", Term::kEvery, {0, 1});
  probability.transform = Term::kProbability;
  Term judged = named_term("judged", Term::kEvery, {0, 1});
  judged.judge = Term::kSelfFrozen;
  Term near = named_term("near", Term::kEvery, {0, 1});
  near.reach = 1;
  Term times = named_term("times", Term::kEvery, {0, 1});
  times.multiplier = Term::kCrossEntropy;
  const Batch batch = batch_with_weights(true);
  for (const Term& other :
       {max, probability, judged, near, times, named_term("asked", Term::kAsked, {0, 1}),
        named_term("stays", Term::kStays, {0, 1})}) {
    SCOPED_TRACE(other.name);
    const SupervisionTable table = {named_term("loss", Term::kEvery, {1, 1}), other};
    const Taught known = teach(table, batch, at::kDouble, true);
    EXPECT_EQ(known.summed, (std::vector<bool>{true, false, false}));
    expect_same(known, teach(table, batch, at::kDouble, false), 1e-14);
  }
}

// Factors of whatever is known by then, but for their rounding.
TEST(RowWeights, OfWhatTheLayersBeforeHaveSaid) {
  const SupervisionTable table =
      supervision_of("loss = ce*(1 - prev.halts)*(i + 1)/L - 0.5*ce*stop(prev.p_max) [layers=all]",
                     kRowWeightsLayers);
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const Batch batch = batch_with_weights(true);
    const Taught by_row = teach(table, batch, type, false),
                 at_once = teach(table, batch, type, true);
    EXPECT_EQ(at_once.summed, (std::vector<bool>{false, true, true})) << "nothing was before";
    const double near = type == at::kDouble ? 1e-13 : 1e-5;
    EXPECT_NEAR(at_once.parts.at(0).sum.item<double>(), by_row.parts.at(0).sum.item<double>(),
                near);
    for (size_t i = 0; i < by_row.gradients.size(); ++i) {
      ASSERT_EQ(at_once.gradients[i].defined(), by_row.gradients[i].defined()) << i;
      if (!by_row.gradients[i].defined()) continue;
      EXPECT_LE(max_difference(at_once.gradients[i], by_row.gradients[i]), near) << i;
    }
  }
}

TEST(RowWeights, OfWhatIsExpectedUpToTheCap) {
  const Batch batch = batch_with_weights(true);
  const SupervisionTable table =
      supervision_of("loss = ce*stop(expected_asked) [layers=all]", kRowWeightsLayers);
  const auto value = [&](bool known, double cap) {
    const Taught taught = teach(table, batch, at::kDouble, known, cap);
    EXPECT_EQ(taught.summed, std::vector<bool>(kRowWeightsLayers, known));
    return taught.parts.at(0).sum.item<double>();
  };
  for (const double cap : {0.1, 1.0}) EXPECT_NEAR(value(true, cap), value(false, cap), 1e-12);
  EXPECT_GT(value(true, 0.1), value(true, 1) + 0.1) << "later layers are asked";
}

}  // namespace
}  // namespace fathom::testing
