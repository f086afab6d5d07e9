// The terms of an objective over the readings of a walk: every value by hand, and which weights
// each judge teaches.
#include "fathom/model/supervision.h"

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "errors.h"
#include "model/corridor_reference.h"
#include "model/spelled_terms.h"

namespace fathom::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Term = SpelledTerm;

constexpr size_t kStepOf[] = {0, 4, 5};  // of readout 0, 1, 2
constexpr size_t kSupervisionSteps = 6;

// What the term's judge says about readout `i`, with the weights that may learn (of which `live` is
// the walk) and the others.
Scores judged(const Term& term, int i, const Reference& reference, const ReferenceWalk& live,
              const Weights& w, const Weights& frozen) {
  const size_t step = kStepOf[i];
  if (term.judge == Term::kSelfFrozen)
    return reference.read(i, frozen,
                          reference.step(step, frozen, live.door[step], live.hidden[step]));
  if (term.judge == Term::kNextFrozen) {
    const size_t next = std::min(step + 1, kSupervisionSteps - 1);
    return reference.read(std::min(i + 1, 2), frozen,
                          reference.step(next, frozen, live.after[step], live.hidden[next]));
  }
  if (term.reach == 0) return live.scores[size_t(i)];
  const ReferenceWalk still = reference_walk(reference, frozen);
  const size_t first = step + 1 - std::min(size_t(term.reach), step + 1);
  State s = still.door[first];
  for (size_t k = first; k <= step; ++k) s = reference.step(k, w, s, still.hidden[k]);
  return reference.read(i, w, s);
}

bool open(Term::Gate gate, bool done, bool halts) {
  switch (gate) {
    case Term::kEvery:
      return true;
    case Term::kAsked:
      return !done;
    case Term::kHalts:
      return !done && halts;
    case Term::kStays:
      return !done && !halts;
  }
  return false;
}

double transformed(Term::Transform transform, double p) {
  if (transform == Term::kNegLog) return -std::log(p);
  return transform == Term::kProbability ? p : -std::log(1 - p);
}

// Of one readout: the term's sum, and what a gated mean divides by.
struct Sum {
  double sum = 0, count = 0;
};

std::vector<Sum> by_hand(const Term& term, const Weights& w, const Weights& frozen) {
  static const Batch batch = corridor_batch();
  static const Values weights = numbers(batch.weight_BT);
  std::vector<Sum> sums(3);
  for (int64_t b = 0; b < kSequences; ++b) {
    const Reference reference(b);
    const ReferenceWalk own = reference_walk(reference, w);
    for (size_t i = 0; i < 3; ++i) {
      if (term.weights[i] == 0) continue;
      const Scores judge = judged(term, int(i), reference, own, w, frozen);
      for (size_t t = 0; t < kLength; ++t) {
        const size_t row = size_t(b) * kLength + t;
        const int64_t target = batch.targets_BT.data_ptr<int64_t>()[row];
        if (target < 0 || !open(term.gate, own.done[i][t], own.halts[i][t])) continue;
        const double ln_p = term.signal == Term::kTarget ? judge.at(t, target) : judge.largest(t);
        double x = transformed(term.transform, std::exp(ln_p));
        if (term.multiplier == Term::kCrossEntropy) x *= -own.scores[i].at(t, target);
        sums[i].sum += weights[row] * term.weights[i] * x;
        sums[i].count += weights[row];
      }
    }
  }
  return sums;
}

double whole_by_hand(const Term& term, const Weights& w, const Weights& frozen) {
  const std::vector<Sum> sums = by_hand(term, w, frozen);
  return sums[0].sum + sums[1].sum + sums[2].sum;
}

double sum_of_weights() {
  const Batch batch = corridor_batch();
  return batch.weight_BT.masked_fill(batch.targets_BT.lt(0), 0).sum().item<double>();
}

// Every value of signal, transform, gate and multiplier with every other.
std::vector<Term> all_terms() {
  std::vector<Term> terms;
  for (const auto signal : {Term::kTarget, Term::kMax})
    for (const auto transform : {Term::kNegLog, Term::kNegLogOneMinus, Term::kProbability})
      for (const auto gate : {Term::kEvery, Term::kAsked, Term::kHalts, Term::kStays})
        for (const auto multiplier : {Term::kOne, Term::kCrossEntropy}) {
          Term term = spelled_term({0.5, -2, 3});
          term.name = "term" + std::to_string(terms.size());
          term.signal = signal;
          term.transform = transform;
          term.gate = gate;
          term.multiplier = multiplier;
          terms.push_back(term);
        }
  return terms;
}

TEST(Supervision, EveryTermOverAllTargets) {
  const std::vector<Term> terms = all_terms();
  const auto model = corridor_model(table_of(terms));
  const Weights w = weights_of(*model);
  const ModelOutput output = model->forward(corridor_batch(), corridor_pass());
  ASSERT_EQ(output.losses.size(), terms.size());
  const auto counts = model->known_counts(corridor_batch(), corridor_pass());
  std::set<double> values;
  for (size_t k = 0; k < terms.size(); ++k) {
    SCOPED_TRACE(k);
    const LossPart& part = output.losses[k];
    EXPECT_EQ(part.name, terms[k].name);
    EXPECT_NEAR(part.sum.item<double>(), whole_by_hand(terms[k], w, w), 1e-10);
    EXPECT_NEAR(part.count, sum_of_weights(), 1e-12);
    EXPECT_EQ(counts.at(terms[k].name), part.count);
    values.insert(part.sum.item<double>());
  }
  EXPECT_EQ(values.size(), terms.size()) << "two terms that cannot be told apart";
}

TEST(Supervision, EveryTermOverWhatItsGateLetsThrough) {
  std::vector<Term> terms = all_terms();
  for (Term& term : terms) term.denominator = Term::kGated;
  const auto model = corridor_model(table_of(terms));
  const Weights w = weights_of(*model);
  const ModelOutput output = model->forward(corridor_batch(), corridor_pass());
  ASSERT_EQ(output.losses.size(), 3 * terms.size());
  EXPECT_TRUE(model->known_counts(corridor_batch(), corridor_pass()).empty())
      << "nobody knows who will halt";
  for (size_t k = 0; k < output.losses.size(); ++k) {
    const Term& term = terms[k / 3];
    const int layer = int(k % 3);
    const LossPart& part = output.losses[k];
    EXPECT_EQ(part.name, term.name + "/" + std::to_string(layer));
    const Sum expected = by_hand(term, w, w)[size_t(layer)];
    EXPECT_NEAR(part.sum.item<double>(), expected.sum, 1e-10) << part.name;
    EXPECT_NEAR(part.count, expected.count, 1e-12) << part.name;
    EXPECT_EQ(part.sum.requires_grad(), expected.count > 0) << part.name;
  }
}

TEST(Supervision, EveryTermsGradient) {
  for (const Term& term : all_terms()) {
    if (term.gate != Term::kStays && term.gate != Term::kEvery) continue;
    SCOPED_TRACE(term.name);
    const auto model = corridor_model({term});
    backward(model->forward(corridor_batch(), corridor_pass()).losses.at(0).sum);
    expect_gradients_of(
        *model, [&](const Weights& w) { return whole_by_hand(term, w, w); }, 1);
  }
}

TEST(Supervision, WhereAGateLetsNothingThroughThereIsNoMean) {
  Term term = spelled_term({1, 1, 1});
  term.gate = Term::kHalts;
  term.denominator = Term::kGated;
  Policy policy = corridor_policy();
  policy.halting.config.thresholds = {2, 0,
                                      2};  // who does not halt at the first does at the second
  const auto parts = model_of_plan(corridor_plan(), policy, {term})
                         ->forward(corridor_batch(), corridor_pass())
                         .losses;
  ASSERT_EQ(parts.size(), 3U);
  for (const size_t shut : {0U, 2U}) {
    EXPECT_EQ(parts[shut].count, 0);
    EXPECT_EQ(parts[shut].sum.item<double>(), 0);
    EXPECT_FALSE(parts[shut].sum.requires_grad());
  }
  EXPECT_NEAR(parts[1].count, sum_of_weights(), 1e-12);
  EXPECT_TRUE(parts[1].sum.requires_grad());
}

TEST(Supervision, LayersWithoutAWeightAreNotInTheTerm) {
  const auto names = [](Term term, Term::Denominator denominator) {
    term.denominator = denominator;
    std::vector<std::string> out;
    const auto model = corridor_model({term});
    for (const LossPart& part : model->forward(corridor_batch(), corridor_pass()).losses)
      out.push_back(part.name);
    return out;
  };
  EXPECT_THAT(names(spelled_term({1, 0, 2}), Term::kGated), ElementsAre("loss/0", "loss/2"));
  EXPECT_THAT(names(spelled_term({0, 1}), Term::kGated), ElementsAre("loss/1"));
  EXPECT_THAT(names(spelled_term({0, 1}), Term::kTargets), ElementsAre("loss"));
  EXPECT_THAT(names(spelled_term({}), Term::kTargets), ElementsAre());
}

TEST(Supervision, TheTableOfAConfiguration) {
  const auto made = [](ChoiceOrList layers, SkipEasyWeight weight, SupervisionReduce reduce) {
    SupervisionConfig config;
    config.layer_supervision = std::move(layers);
    config.skip_easy_weight = weight;
    config.reduce = reduce;
    const SupervisionTable table = make_supervision(config, 4);
    EXPECT_EQ(table.size(), 1U);
    EXPECT_EQ(table[0].name, "loss");
    EXPECT_EQ(table[0].judge, Term::kSelf);
    EXPECT_EQ(table[0].reach, 0);
    return table[0];
  };
  constexpr auto kLayer = SkipEasyWeight::kLayer, kToken = SkipEasyWeight::kToken;
  constexpr auto kMean = SupervisionReduce::kMean, kSum = SupervisionReduce::kSum;
  for (const SkipEasyWeight weight : {kLayer, kToken}) {
    const SupervisionTerm all = made({"all", {}}, weight, kMean);
    EXPECT_THAT(all.weights, ElementsAre(0.25, 0.25, 0.25, 0.25));
    EXPECT_EQ(to_text(all.value), "ce");
    EXPECT_EQ(all.per, SupervisionTerm::kTargets);
    const SupervisionTerm skip = made({"skip_easy", {}}, weight, kSum);
    EXPECT_THAT(skip.weights, ElementsAre(1, 1, 1, 1));
    EXPECT_EQ(to_text(skip.value), "ce*asked");
    EXPECT_EQ(skip.per, weight == kLayer ? SupervisionTerm::kAsked : SupervisionTerm::kTargets);
  }
  const SupervisionTerm last = made({"last", {}}, kLayer, kSum);
  EXPECT_THAT(last.weights, ElementsAre(0, 0, 0, 1));
  EXPECT_EQ(to_text(last.value), "ce");
  EXPECT_THAT(made({"", {1, 0, 0, 3}}, kLayer, kMean).weights, ElementsAre(0.25, 0, 0, 0.75));
}

TEST(Supervision, AGateOnAnswersNeedsAHaltingRule) {
  Term term = spelled_term({1, 1, 1});
  term.gate = Term::kHalts;
  Policy policy = corridor_policy();
  policy.halting.config.rule = HaltRule::kNone;
  const auto model = model_of_plan(corridor_plan(), policy, {term});
  Pass pass = corridor_pass();
  pass.training = true;
  EXPECT_THAT(error_of([&] { model->forward(corridor_batch(), pass); }), HasSubstr("halting rule"));
  // What nobody trains has the answer's loss in its place.
  const ModelOutput output = model->forward(corridor_batch(), corridor_pass());
  ASSERT_EQ(output.losses.size(), 1U);
  EXPECT_TRUE(same_bits(output.losses[0].sum, output.loss.sum));
}

bool untouched(const DepthModel& model, const std::string& prefix) {
  bool found = false, zero = true;
  for (const Parameter& p : model.parameters().all()) {
    if (p.spec.name.rfind(prefix, 0) != 0) continue;
    found = true;
    const Tensor gradient = p.tensor.grad();
    zero = zero && (!gradient.defined() || gradient.abs().max().item<double>() == 0);
  }
  EXPECT_TRUE(found) << prefix;
  return zero;
}

// The model after a backward pass of one term, its gradients compared with the reference's.
std::unique_ptr<DepthModel> taught(const Term& term) {
  auto model = corridor_model({term});
  const LossPart part = model->forward(corridor_batch(), corridor_pass()).losses.at(0);
  const Weights frozen = weights_of(*model);
  EXPECT_NEAR(part.sum.item<double>(), whole_by_hand(term, frozen, frozen), 1e-10);
  backward(part.sum);
  expect_gradients_of(
      *model, [&](const Weights& w) { return whole_by_hand(term, w, frozen); }, 2);
  return model;
}

void expect_untouched(const DepthModel& model, const std::set<std::string>& parts) {
  for (const char* part :
       {"token_table.0", "token_table.1", "position_table", "adapter.0", "attention.0",
        "attention.1", "attention.2", "mlp.0", "mlp.1", "mlp.2", "norm_in.0", "norm_in.1",
        "norm_in.2", "norm_mid.0", "norm_mid.1", "norm_out.0", "head.0", "head.1"})
    EXPECT_EQ(untouched(model, part), parts.count(part) == 1) << part;
}

// A reward of confidence, which asks the judge for another signal than the loss does.
Term judged_by(Term::Judge judge, std::vector<double> weights) {
  Term term = spelled_term(std::move(weights));
  term.judge = judge;
  term.signal = Term::kMax;
  term.transform = Term::kNegLogOneMinus;
  return term;
}

const std::set<std::string> kNeverInLayer0 = {
    "token_table.1", "adapter.0", "attention.1", "attention.2", "mlp.1",
    "mlp.2",         "norm_in.1", "norm_in.2",   "norm_mid.1",  "head.1"};

std::set<std::string> operator+(std::set<std::string> all, const std::set<std::string>& more) {
  all.insert(more.begin(), more.end());
  return all;
}

TEST(FrozenJudge, TeachesOnlyWhatCameBeforeIt) {
  expect_untouched(*taught(judged_by(Term::kSelfFrozen, {1, 0, 0})),
                   kNeverInLayer0 + std::set<std::string>{"attention.0", "mlp.0", "norm_in.0",
                                                          "norm_mid.0", "norm_out.0", "head.0"});
  // Readout 1 is made by the first block's weights again: they learn as the first block.
  expect_untouched(*taught(judged_by(Term::kSelfFrozen, {0, 1, 0})),
                   {"attention.2", "mlp.2", "norm_in.2", "norm_out.0", "head.0", "head.1"});
  expect_untouched(*taught(judged_by(Term::kSelfFrozen, {0, 0, 1})),
                   {"attention.2", "mlp.2", "norm_in.2", "norm_out.0", "head.0", "head.1"});
}

TEST(FrozenJudge, SaysWhatTheLayerItselfSays) {
  const auto value = [](Term::Judge judge) {
    return corridor_model({judged_by(judge, {1, 2, 3})})
        ->forward(corridor_batch(), corridor_pass())
        .losses.at(0)
        .sum.item<double>();
  };
  EXPECT_EQ(value(Term::kSelfFrozen), value(Term::kSelf));
}

TEST(FrozenJudge, OfTheNextStepTeachesThisOne) {
  expect_untouched(*taught(judged_by(Term::kNextFrozen, {0, 1, 0})),
                   {"attention.2", "mlp.2", "norm_in.2", "norm_out.0", "head.0", "head.1"});
  // The last step is asked once more, and learns as the one that was asked about.
  expect_untouched(*taught(judged_by(Term::kNextFrozen, {0, 0, 1})),
                   {"norm_out.0", "head.0", "head.1"});
}

TEST(FrozenJudge, IsMultipliedByTheCrossEntropyOfTheWalk) {
  for (const Term::Judge judge : {Term::kSelfFrozen, Term::kNextFrozen}) {
    Term term = judged_by(judge, {0, 1, 2});
    term.multiplier = Term::kCrossEntropy;
    term.gate = Term::kAsked;
    expect_untouched(*taught(term), {});
  }
}

TEST(FrozenJudge, ItsTermMayStandBesideTheLoss) {
  const Term loss = spelled_term({1, 1, 1}), frozen = judged_by(Term::kSelfFrozen, {2, 2, 2});
  const auto model = corridor_model({loss, frozen});
  const auto parts = model->forward(corridor_batch(), corridor_pass()).losses;
  ASSERT_EQ(parts.size(), 2U);
  backward(parts[0].sum - 0.5 * parts[1].sum);
  const Weights still = weights_of(*model);
  expect_gradients_of(*model, [&](const Weights& w) {
    return whole_by_hand(loss, w, w) - 0.5 * whole_by_hand(frozen, w, still);
  });
}

TEST(Reach, OfOneStepTeachesThatStepAndItsHead) {
  Term term = spelled_term({1, 0, 0});
  term.reach = 1;
  expect_untouched(*taught(term),
                   kNeverInLayer0 + std::set<std::string>{"token_table.0", "position_table"});
  term.weights = {0, 1, 0};
  expect_untouched(*taught(term),
                   kNeverInLayer0 + std::set<std::string>{"token_table.0", "position_table"});
  term.weights = {0, 0, 1};
  expect_untouched(*taught(term),
                   {"token_table.0", "token_table.1", "position_table", "adapter.0", "attention.0",
                    "attention.1", "mlp.0", "mlp.1", "norm_in.0", "norm_in.1", "norm_mid.0",
                    "norm_mid.1", "norm_out.0", "head.0"});
}

TEST(Reach, OfSeveralStepsMayBeginInsideALoop) {
  Term term = spelled_term({0, 1, 2});
  term.reach = 2;
  const std::set<std::string> before = {"token_table.0", "token_table.1", "position_table"};
  expect_untouched(*taught(term), before);  // the last iteration is reached, the first is not
  term.reach = 4;  // from readout 1 to the loop's first iteration, which reads a table
  expect_untouched(*taught(term), {"token_table.0", "position_table"});
}

TEST(Reach, OfTheWholeWalkStillEndsAtTheEmbeddings) {
  for (const int64_t reach : {6, 100}) {
    Term term = spelled_term({1, 1, 1});
    term.reach = reach;
    expect_untouched(*taught(term), {"token_table.0", "position_table"});
  }
}

}  // namespace
}  // namespace fathom::testing
