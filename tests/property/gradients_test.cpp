// Gradients of the objective against differences, and of a batch against those of its parts.
#include "fathom/train/loss_parts.h"
#include "property/wiring_rows.h"

namespace fathom::property {
namespace {

void expect_slope(const std::function<Tensor()>& f, const std::vector<Parameter>& leaves) {
  const Slope slope = slope_of(f, leaves, 100);
  EXPECT_TRUE(slope.agrees()) << leaves.front().spec.name << " (" << leaves.size()
                              << "): " << slope.gradient << " and " << slope.difference;
}

class Gradients : public PropertyTest {};

TEST_F(Gradients, AgreeWithDifferences) {
  for (const Case& c : all_cases()) {
    if (c.config.early_exit.detach_between_layers) continue;  // it is not the objective's gradient
    for (const Batch& batch : {text_batch(4, kBlock, 3), ragged_batch(5, 7, 4)})
      for (const bool training : c.passes()) {
        SCOPED_TRACE(c.name + (training ? ", training" : "") +
                     (batch.valid_BT.defined() ? ", ragged" : ""));
        const Subject s = subject(c, batch, at::kDouble, training);
        // Decisions do not change on the way from one point of the difference to the next.
        ASSERT_GT(s.margin, 1e-3);
        const Pass pass = {training, walk_options(training).random};
        const auto f = [&] { return objective(s.model->forward(batch, pass).losses); };
        backward(f());
        const std::vector<Parameter>& leaves = s.model->parameters().all();
        expect_slope(f, leaves);
        if (training != c.passes().back() || !batch.valid_BT.defined()) continue;
        for (const Parameter& leaf : leaves) expect_slope(f, {leaf});
      }
  }
}

// The objective by its definition, from what a walk shows: layer by layer the mean cross entropy
// over the targets that the layer is asked about.
double textbook_objective(const Subject& s, const Batch& batch, bool training) {
  const SupervisionConfig& c = s.config.supervision;
  std::vector<double> weights(static_cast<size_t>(s.config.backbone.n_layer), 1);
  if (c.layer_supervision.choice == "last") std::fill(weights.begin(), weights.end() - 1, 0);
  if (c.layer_supervision.choice.empty()) weights = c.layer_supervision.list;
  double total = 0;
  for (const double weight : weights) total += weight;
  const bool easy = c.layer_supervision.choice == "skip_easy";
  const Trace trace = s.walk().run(s.program(), batch, walk_options(training));
  const std::vector<double> target = numbers(batch.targets_BT);
  const std::vector<double> importance =
      numbers(batch.weight_BT.defined() ? batch.weight_BT : batch.targets_BT.mul(0).add(1));
  std::vector<double> done(target.size(), 0);
  double objective = 0;
  for (const StepRecord* readout : trace.readouts()) {
    const StepRecord& r = *readout;
    // A last layer that loops is trained on its last answer.
    if (c.layer_supervision.choice == "last" && readout != trace.readouts().back()) continue;
    const std::vector<double> ln_p = numbers(r.reading.ln_p_R);
    double sum = 0, all = 0, asked = 0;
    for (size_t t = 0; t < target.size(); ++t) {
      if (target[t] < 0) continue;
      all += importance[t];
      if (easy && done[t] != 0) continue;
      asked += importance[t];
      sum -= importance[t] * ln_p[t];
    }
    const bool by_layer = easy && c.skip_easy_weight == SkipEasyWeight::kLayer;
    const double own = weights.at(size_t(r.layer));
    const double weight = c.reduce == SupervisionReduce::kMean ? own / total : own;
    objective += weight * sum / (by_layer ? asked : all);
    if (!r.decision.halts_R.defined()) continue;
    const std::vector<double> halts = numbers(r.decision.halts_R);
    for (size_t t = 0; t < target.size(); ++t) done[t] += halts[t];
  }
  return objective;
}

TEST_F(Gradients, AreOfTheObjectiveAsItIsDefined) {
  const at::NoGradGuard no_grad;
  for (const Case& c : all_cases()) {
    if (c.own()) continue;
    for (const Batch& batch : {text_batch(4, kBlock, 3), ragged_batch(5, 7, 4)})
      for (const bool training : c.passes()) {
        SCOPED_TRACE(c.name + (training ? ", training" : ""));
        const Subject s = subject(c, batch, at::kDouble, training);
        const Pass pass = {training, walk_options(training).random};
        EXPECT_NEAR(objective(s.model->forward(batch, pass).losses).item<double>(),
                    textbook_objective(s, batch, training), 1e-10);
      }
  }
}

// Every parameter of a model that trains all its layers has a gradient: no case is tested on zeros.
TEST_F(Gradients, ReachEveryParameter) {
  for (const Case& c : all_cases()) {
    const ChoiceOrList& trained = c.config.supervision.layer_supervision;
    const bool all_layers = trained.choice == "all" || !c.config.early_exit.layer_heads;
    const Batch batch = text_batch(4, kBlock, 3);
    const Subject s = subject(c, batch, at::kDouble);
    backward(objective(s.model->forward(batch, {c.own(), RandomField(5, 1, 0)}).losses));
    for (const Parameter& p : s.model->parameters().all()) {
      const Tensor& gradient = p.tensor.grad();
      const bool moves = gradient.defined() && gradient.abs().max().item<double>() > 1e-6;
      EXPECT_TRUE(moves || !all_layers) << c.name << ": " << p.spec.name;
    }
  }
}

struct Sums {
  std::map<std::string, double> losses;
  std::map<std::string, std::pair<double, double>> metrics;
  std::vector<Tensor> gradients;
};

// Sums over the batch's parts of so many sequences, as a step of these passes has them: every loss
// by the counts of the whole batch, which passes without gradients have gathered where the walk
// alone tells them.
Sums summed(const Subject& s, const Batch& batch, const std::vector<int64_t>& parts) {
  std::vector<ModelOutput> outputs;
  StepSums step, found;
  step.counts = s.model->known_counts(batch, {true, RandomField(5, 1, 0)});
  s.model->parameters().zero_grad();
  int64_t first = 0;
  for (const int64_t n : parts) {
    outputs.push_back(
        s.model->forward(sequences(batch, first, n), {true, RandomField(5, 1, first)}));
    for (const LossPart& part : outputs.back().losses) found.add(part);
    first += n;
  }
  EXPECT_EQ(first, batch.tokens_BT.size(0));
  step.merge(found);
  Sums sums;
  for (const ModelOutput& output : outputs) {
    Tensor total;  // the parts share a graph
    for (const LossPart& part : output.losses) {
      if (part.count == 0 && !part.of_means) continue;
      const Tensor term = term_of_pass(part, step, parts.size());
      total = total.defined() ? total + term : term;
      sums.losses[part.name] += term.item<double>();
    }
    if (total.defined()) backward(total);
    for (const auto& [name, metric] : output.metrics) {
      sums.metrics[name].first += metric.sum;
      sums.metrics[name].second += metric.count;
    }
  }
  for (const Parameter& p : s.model->parameters().all()) sums.gradients.push_back(p.tensor.grad());
  return sums;
}

// Every case, and again by the weight whose counts the walk alone tells.
std::vector<Case> cases_of_every_weight() {
  std::vector<Case> cases = all_cases(), more;
  for (Case c : cases) {
    SupervisionConfig& supervision = c.config.supervision;
    if (c.own() || !c.acts() || !c.config.early_exit.layer_heads || supervision.has_objective())
      continue;
    supervision.layer_supervision = {"skip_easy", {}};
    supervision.skip_easy_weight = SkipEasyWeight::kLayer;
    validate(c.config);
    c.name += ", skip_easy by layer";
    more.push_back(std::move(c));
  }
  for (Case& c : more) cases.push_back(std::move(c));
  return cases;
}

// Whatever the parts, the step is that of the whole batch.
void expect_step_of(const Subject& s, const Batch& batch, const Sums& whole,
                    const std::vector<int64_t>& parts) {
  const Sums split = summed(s, batch, parts);
  for (size_t i = 0; i < whole.gradients.size(); ++i) {
    const Tensor &a = whole.gradients[i], &b = split.gradients[i];
    ASSERT_EQ(a.defined(), b.defined());
    EXPECT_LE(a.defined() ? relative_gap(a, b) : 0, 1e-12);
  }
  // A price for a large stream may be large.
  const auto near = [](double x) { return std::max(std::abs(x), 1.0); };
  for (const auto& [name, loss] : whole.losses)
    EXPECT_NEAR(split.losses.at(name), loss, 1e-12 * near(loss)) << name;
  for (const auto& [name, metric] : whole.metrics) {
    EXPECT_NEAR(split.metrics.at(name).first, metric.first, 1e-11 * near(metric.first)) << name;
    EXPECT_EQ(split.metrics.at(name).second, metric.second) << name;
  }
}

// With objectives of means over the step (2-test), and with drawn halts.
TEST_F(Gradients, OfABatchOfEveryWiringAreThoseOfItsParts) {
  const std::vector<Case> cases = preset_cases(true);
  for (const Case& c : cases)
    for (const Batch& batch : {text_batch(5, kBlock, 3), ragged_batch(5, 7, 4)}) {
      SCOPED_TRACE(c.name + (batch.valid_BT.defined() ? ", ragged" : ""));
      const Subject s = subject(c, batch, at::kDouble, true);
      expect_step_of(s, batch, summed(s, batch, {5}), {2, 3});
    }
  expect_all_wirings(cases);
}

TEST_F(Gradients, OfABatchAreThoseOfItsParts) {
  int64_t known = 0, told_by_the_walk = 0;
  for (const Case& c : cases_of_every_weight())
    for (const Batch& batch : {text_batch(5, kBlock, 3), ragged_batch(5, 7, 4)}) {
      SCOPED_TRACE(c.name + (batch.valid_BT.defined() ? ", ragged" : ""));
      const Subject s = subject(c, batch, at::kDouble, true);
      const bool by_layer = c.config.supervision.skips_easy() &&
                            c.config.supervision.skip_easy_weight == SkipEasyWeight::kLayer;
      const bool unknown = s.model->known_counts(batch, {}).empty();
      ASSERT_TRUE(c.own() || unknown == by_layer);
      ++(unknown ? told_by_the_walk : known);
      const Sums whole = summed(s, batch, {5});
      for (const std::vector<int64_t>& parts :
           {std::vector<int64_t>{1, 1, 1, 1, 1}, std::vector<int64_t>{2, 3}})
        expect_step_of(s, batch, whole, parts);
    }
  EXPECT_GE(known, 30);
  EXPECT_GE(told_by_the_walk, 30);
}

// What known_counts says beforehand is what the losses count afterwards.
TEST_F(Gradients, AreDividedByWhatIsCounted) {
  for (const Case& c : all_cases())
    for (const Batch& batch : {text_batch(4, kBlock, 3), ragged_batch(4, 7, 4)}) {
      SCOPED_TRACE(c.name);
      const Subject s = subject(c, batch, at::kDouble);
      const auto known = s.model->known_counts(batch, {});
      for (const LossPart& part : s.model->forward(batch, {}).losses)
        EXPECT_DOUBLE_EQ(known.count(part.name) > 0 ? known.at(part.name) : part.count, part.count);
    }
}

}  // namespace
}  // namespace fathom::property
