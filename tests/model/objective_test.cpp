// Objectives that have names, each against its definition written out over doubles; what their
// gradients are, what they reach, and what is frozen.
#include <ATen/ops/log_softmax.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "model/walking.h"

namespace fathom::testing {
namespace {

constexpr int64_t kObjectiveVocab = 9;
constexpr size_t kObjectiveLayers = 3;

Batch objective_batch();

// At which the first layer answers 5 of the 14 rows.
double objective_threshold() {
  static const double threshold = [] {
    const auto model =
        model_of(exit_config(2, int64_t(kObjectiveLayers)), kObjectiveVocab, at::kDouble);
    disturb(*model, 0.2);
    std::vector<double> scores = numbers(walk(*model, objective_batch()).steps[0].decision.score_R);
    std::sort(scores.begin(), scores.end());
    return (scores[8] + scores[9]) / 2;
  }();
  return threshold;
}

ModelConfig objective_config(const std::string& objective, HaltRule rule = HaltRule::kMax) {
  ModelConfig config = exit_config(objective_threshold(), int64_t(kObjectiveLayers));
  config.supervision.objective = objective;
  config.halting.rule = rule;
  return config;
}

std::unique_ptr<NextTokenModel> objective_model(const ModelConfig& config) {
  auto model = model_of(config, kObjectiveVocab, at::kDouble);
  disturb(*model, 0.2);
  return model;
}

// A fifth of the rows has no target.
Batch objective_batch() {
  Batch batch = batch_of(random_tokens({2, 7}, kObjectiveVocab, 1),
                         random_tokens({2, 7}, kObjectiveVocab, 2));
  for (const int64_t i : {2, 6, 9}) batch.targets_BT.data_ptr<int64_t>()[i] = -1;
  return batch;
}

Tensor objective_sum(const ModelOutput& output) {
  Tensor sum;
  for (const LossPart& part : output.losses)
    if (part.count > 0) {
      const Tensor mean = part.sum / part.count;
      sum = sum.defined() ? sum + mean : mean;
    }
  return sum;
}

double objective_value(const std::string& objective) {
  const auto model = objective_model(objective_config(objective));
  return objective_sum(model->forward(objective_batch(), {})).item<double>();
}

// What the layers said, without anything of objectives.
class SaidByHand {
 public:
  SaidByHand() : model_(objective_model(objective_config(""))), batch_(objective_batch()) {
    const DepthWalk& walk = depth(*model_).walk();
    const DepthProgram& program = depth(*model_).program();
    const KeptTrace trace = testing::walk(*model_, batch_);
    for (size_t i = 0; i < kObjectiveLayers; ++i) {
      const StepRecord& record = trace.steps[i];
      ln_p_.push_back(
          numbers(at::log_softmax(linear(trace.h(record), walk.params().head.at(int(i)).weight,
                                         walk.params().head.at(int(i)).bias),
                                  1)));
      halts_.push_back(numbers(record.decision.halts_R));
      n_.push_back(numbers(trace.h(record)));
      r_.push_back(numbers(i + 1 < kObjectiveLayers ? trace.door(i + 1).r_RC : trace.end.r_RC));
    }
    // The last layer once more.
    const Carry again =
        walk_again(walk, program, trace, {kObjectiveLayers - 1, kObjectiveLayers}, trace.end, {});
    const StepSpec& last = program.steps.back();
    const Tensor n_RC =
        norm(again.r_RC, walk.params().norm(last.layer.readout->norm), walk.settings());
    const LinearParams& head = walk.params().head.at(last.layer.readout->head);
    again_ = numbers(at::log_softmax(linear(n_RC, head.weight, head.bias), 1));
  }

  size_t rows() const { return size_t(batch_.targets_BT.numel()); }
  int64_t target(size_t r) const { return batch_.targets_BT.data_ptr<int64_t>()[r]; }
  bool has_next(size_t r) const { return r % 7 != 6; }

  // Of layer i, or (i = L) of the last one asked again.
  double ln_p(size_t i, size_t r, int64_t id) const {
    return (i < kObjectiveLayers ? ln_p_[i] : again_)[r * kObjectiveVocab + size_t(id)];
  }
  int64_t best(size_t i, size_t r) const {
    int64_t best = 0;
    for (int64_t id = 1; id < kObjectiveVocab; ++id)
      if (ln_p(i, r, id) > ln_p(i, r, best)) best = id;
    return best;
  }
  double ce(size_t i, size_t r) const { return -ln_p(i, r, target(r)); }
  double p(size_t i, size_t r) const { return std::exp(ln_p(i, r, target(r))); }
  double p_max(size_t i, size_t r) const { return std::exp(ln_p(i, r, best(i, r))); }
  double cost(size_t i, size_t r) const { return -std::log(1 - p_max(i, r)); }
  double asked(size_t i, size_t r) const {
    for (size_t j = 0; j < i; ++j)
      if (halts_[j][r] != 0) return 0;
    return 1;
  }
  double halts(size_t i, size_t r) const { return asked(i, r) * halts_[i][r]; }
  double survives(size_t i, size_t r) const { return asked(i, r) * (1 - halts_[i][r]); }
  double answers(size_t i, size_t r) const {
    return i + 1 == kObjectiveLayers ? asked(i, r) : halts(i, r);
  }
  double expected_asked(size_t i, size_t r) const {
    double product = 1;
    for (size_t j = 0; j < i; ++j) product *= 1 - p_max(j, r);
    return product;
  }
  double expected_halts(size_t i, size_t r) const {
    return expected_asked(i, r) * (i + 1 == kObjectiveLayers ? 1 : p_max(i, r));
  }
  double dot(size_t i, size_t r) const {
    const size_t C = n_[i].size() / rows();
    double sum = 0;
    for (size_t c = 0; c < C; ++c) sum += n_[i - 1][(r + 1) * C + c] * n_[i][r * C + c];
    return sum / double(C);
  }
  double carry2(size_t i, size_t r) const {
    const size_t C = r_[i].size() / rows();
    double sum = 0;
    for (size_t c = 0; c < C; ++c) sum += r_[i][r * C + c] * r_[i][r * C + c];
    return sum / double(C);
  }

  using OfRow = std::function<double(size_t r)>;
  double mean(const OfRow& f) const {
    return mean_where([&](size_t r) { return target(r) >= 0; }, f);
  }
  double mean_where(const std::function<bool(size_t)>& counts, const OfRow& f) const {
    double sum = 0, n = 0;
    for (size_t r = 0; r < rows(); ++r)
      if (counts(r)) sum += f(r), n += 1;
    return sum / n;
  }
  // Sum over layers a .. b of means over the rows with a target.
  double sum(size_t a, size_t b, const std::function<double(size_t i, size_t r)>& f) const {
    double all = 0;
    for (size_t i = a; i <= b; ++i) all += mean([&](size_t r) { return f(i, r); });
    return all;
  }

 private:
  std::unique_ptr<NextTokenModel> model_;
  Batch batch_;
  std::vector<std::vector<double>> ln_p_, halts_, n_, r_;
  std::vector<double> again_;
};

// The notebook's, Z the last layer.
std::map<std::string, double> confidence_by_hand(const SaidByHand& s) {
  constexpr size_t Z = kObjectiveLayers - 1;
  const double L = double(kObjectiveLayers);
  const double last = s.mean([&](size_t r) { return s.ce(Z, r); });
  const double answered =
      s.sum(0, Z, [&](size_t i, size_t r) { return s.ce(i, r) * s.answers(i, r); });
  const double left = s.mean([&](size_t r) { return s.ce(Z, r) * s.survives(Z, r); });
  double first = 0;
  for (size_t i = 0; i < Z; ++i)
    first += std::log(1 - std::exp(s.mean([&](size_t r) { return std::log(s.p_max(i, r)); }))) / L;
  const double third =
      s.sum(0, Z, [&](size_t i, size_t r) { return s.ce(i, r) * s.cost(i, r) * s.survives(i, r); });
  return {
      {"conf_1",
       last + s.sum(0, Z - 1, [&](size_t i, size_t r) { return std::log(s.p_max(i, r)) / L; })},
      {"conf_2", last + first},
      {"conf_3", third + last},
      {"conf_3_rerun", third + left},
      {"conf_4", s.sum(0, Z,
                       [&](size_t i, size_t r) {
                         return ((s.ce(i, r) - 1) * s.halts(i, r) + 1) * s.cost(i, r) *
                                s.survives(i, r);
                       }) +
                     left},
      {"conf_5_text", s.sum(1, Z,
                            [&](size_t i, size_t r) {
                              return ((s.ce(i - 1, r) - 1) * s.halts(i - 1, r) + 1) * s.cost(i, r) *
                                     s.survives(i - 1, r);
                            }) +
                          s.mean([&](size_t r) { return s.ce(Z, r) * s.survives(Z - 1, r); })},
      {"conf_5",
       answered +
           s.sum(1, Z, [&](size_t i, size_t r) { return s.cost(i, r) * s.survives(i - 1, r); })},
      {"conf_6_1", answered + s.sum(1, Z,
                                    [&](size_t i, size_t r) {
                                      return std::log(1 - s.p(i + 1, r)) * s.survives(i - 1, r);
                                    })},
      {"conf_6_2", answered - s.sum(1, Z,
                                    [&](size_t i, size_t r) {
                                      return s.cost(i + 1, r) * s.survives(i - 1, r);
                                    })},
  };
}

std::map<std::string, double> others_by_hand(const SaidByHand& s) {
  constexpr size_t Z = kObjectiveLayers - 1;
  const double last = s.mean([&](size_t r) { return s.ce(Z, r); });
  const auto ce = [&](size_t i, size_t r) { return s.ce(i, r); };
  const double all = s.sum(0, Z, ce);
  const double expected =
      s.sum(0, Z, [&](size_t i, size_t r) { return s.ce(i, r) * s.expected_halts(i, r); });
  double easy = 0, dot = 0, token = 0, unasked = 0;
  for (size_t i = 0; i <= Z; ++i) {
    const auto asked = [&](size_t r) { return s.target(r) >= 0 && s.asked(i, r) != 0; };
    easy += s.mean_where(asked, [&](size_t r) { return s.ce(i, r); }) / double(kObjectiveLayers);
    const auto next = [&](size_t r) { return s.has_next(r); };
    if (i > 0) dot -= s.mean_where(next, [&](size_t r) { return s.dot(i, r); });
    if (i > 0)
      token -= s.mean_where(next, [&](size_t r) { return s.ln_p(i, r, s.best(i - 1, r + 1)); });
    if (i < Z)
      unasked -= s.mean_where(
          [](size_t) { return true; },
          [&](size_t r) { return s.target(r) < 0 ? std::log(s.p_max(i + 1, r)) : 0.0; });
  }
  return {
      {"last", last},
      {"all", all / double(kObjectiveLayers)},
      {"skip_easy", easy},
      {"expected", expected},
      {"ponder",
       expected + 0.01 * s.sum(0, Z, [&](size_t i, size_t r) { return s.expected_asked(i, r); })},
      {"last_penalty",
       s.sum(0, Z,
             [&](size_t i, size_t r) { return (i == Z ? 2 : 1) * s.ce(i, r) * s.answers(i, r); })},
      {"prevnext_dot", all + dot},
      {"prevnext_token", all + token},
      {"no_target", last + unasked},
      {"agreement", last - s.sum(1, Z,
                                 [&](size_t i, size_t r) {
                                   return s.best(i, r) == s.best(i - 1, r) ? std::log(s.p_max(i, r))
                                                                           : 0.0;
                                 })},
      {"reward_sure", last + s.sum(0, Z - 1,
                                   [&](size_t i, size_t r) {
                                     return s.p_max(i, r) > 0.9 ? std::max(-s.cost(i, r), -5.0)
                                                                : 0.0;
                                   })},
      {"carry_penalty",
       last + 0.001 * s.sum(0, Z, [&](size_t i, size_t r) { return s.carry2(i, r); })},
  };
}

TEST(NamedObjectives, AreWhatTheirDefinitionsSay) {
  const SaidByHand said;
  std::map<std::string, double> by_hand = confidence_by_hand(said);
  by_hand.merge(others_by_hand(said));
  double halted = 0, went_on = 0;
  for (size_t r = 0; r < said.rows(); ++r) halted += said.halts(0, r), went_on += said.asked(2, r);
  EXPECT_GT(halted, 0);
  EXPECT_GT(went_on, 0) << "else some of the terms are of nothing";
  for (const NamedObjective& named : named_objectives()) {
    ASSERT_EQ(by_hand.count(named.name), 1U) << named.name << " has no definition here";
    EXPECT_NEAR(objective_value(named.name), by_hand.at(named.name), 1e-10) << named.name;
  }
}

// Who halts does not survive: the fourth test's first factor is 1 wherever it counts.
TEST(NamedObjectives, TheFourthTestIsDegenerateToTheBit) {
  const auto part = [](const std::string& objective) {
    return objective_model(objective_config(objective))
        ->forward(objective_batch(), {})
        .losses.at(0)
        .sum.item<double>();
  };
  EXPECT_EQ(part("conf_4"), part("x = (-ln(1 - p_max))*survives [layers=all, judge=self_frozen]"));
  EXPECT_EQ(part("x = halts*survives*ce [layers=all]"), 0);
  EXPECT_EQ(part("x = ce [layers=all, weights=[0, 0, 1]]"), part("last"));
  const double parts = part("x = ce*answers [layers=all]");
  EXPECT_NEAR(part("x = ce*answers [layers=0..1]") + part("x = ce*answers"), parts, 1e-12);
  // Without a forced last layer.
  EXPECT_NEAR(part("x = ce*halts [layers=all]") + part("x = ce*survives"), parts, 1e-12);
  EXPECT_NEAR(objective_value("loss = ce [layers=all]"), 3 * objective_value("all"), 1e-12);
}

TEST(NamedObjectives, GradientsAgreeWithDifferences) {
  for (const char* objective :
       {"ponder", "prevnext_dot", "prevnext_token",
        "loss = ce [layers=all]; x = ln(1 - exp(mean(ln(p_max))))/L + mean(ce)*mean(p)/2 "
        "[layers=0..-2]",
        "loss = ce [layers=all]; x = ln(1 - p)*prev.ce*exp(prev.p) [layers=1..-1]; y = "
        "carry2*p_max [layers=all, per=valid]"}) {
    SCOPED_TRACE(objective);
    const auto model = objective_model(objective_config(objective, HaltRule::kNone));
    const Batch batch = objective_batch();
    expect_gradients([&] { return objective_sum(model->forward(batch, {})); }, tensors_of(*model),
                     1);
  }
}

// Gradients by parameter; undefined: none.
std::map<std::string, Tensor> gradients_by_name(const ModelConfig& config) {
  const auto model = objective_model(config);
  backward(objective_sum(model->forward(objective_batch(), {})));
  std::map<std::string, Tensor> gradients;
  for (const Parameter& p : model->parameters().all()) gradients[p.spec.name] = p.tensor.grad();
  return gradients;
}

bool is_zero_gradient(const Tensor& gradient) {
  return !gradient.defined() || gradient.abs().max().item<double>() == 0;
}

// The layers' losses whose gradient the parameter of layer 0 to 2 has with a reach.
void expect_reached(const ModelConfig& config, const std::string& parameter,
                    const std::string& by) {
  SCOPED_TRACE(parameter);
  const Tensor gradient = gradients_by_name(config).at(parameter);
  if (by.empty()) {
    EXPECT_TRUE(is_zero_gradient(gradient));
    return;
  }
  ModelConfig whole = config;
  whole.supervision.reach.reset();
  whole.supervision.reach_embeddings = true;
  whole.supervision.objective = "loss = ce [layers=" + by + "]";
  EXPECT_LE(max_difference(gradient, gradients_by_name(whole).at(parameter)), 1e-13);
}

TEST(Reach, IsOfAllLosses) {
  // With a rule that halts nobody every layer has its head, whatever is trained.
  ModelConfig config = objective_config("loss = ce [layers=all]", HaltRule::kMax);
  config.halting.threshold = 2;
  for (const bool embeddings : {true, false}) {
    config.supervision.reach_embeddings = embeddings;
    config.supervision.reach = 1;
    expect_reached(config, "attention.0.qkv.weight", "[0]");
    expect_reached(config, "attention.1.qkv.weight", "[1]");
    expect_reached(config, "mlp.2.up.weight", "[2]");
    expect_reached(config, "position_table.weight", embeddings ? "[0]" : "");
    config.supervision.reach = 2;
    expect_reached(config, "attention.0.qkv.weight", "[0, 1]");
    expect_reached(config, "attention.1.qkv.weight", "[1, 2]");
    expect_reached(config, "mlp.2.up.weight", "[2]");
    expect_reached(config, "position_table.weight", embeddings ? "[0, 1]" : "");
  }
}

TEST(FreezeParts, StopsGradientsAndChangesNothingElse) {
  const ModelConfig free = objective_config("conf_6_2");
  ModelConfig frozen = free;
  frozen.supervision.freeze_parts = "block";
  const auto of_free = gradients_by_name(free), of_frozen = gradients_by_name(frozen);
  EXPECT_EQ(objective_sum(objective_model(frozen)->forward(objective_batch(), {})).item<double>(),
            objective_sum(objective_model(free)->forward(objective_batch(), {})).item<double>());
  double all = 0, left = 0;
  for (const auto& [name, gradient] : of_frozen) {
    const bool in_block =
        name.rfind("attention", 0) == 0 || name.rfind("mlp", 0) == 0 || name.rfind("norm", 0) == 0;
    EXPECT_EQ(is_zero_gradient(gradient), in_block || is_zero_gradient(of_free.at(name))) << name;
    if (gradient.defined()) left += gradient.square().sum().item<double>();
    if (of_free.at(name).defined()) all += of_free.at(name).square().sum().item<double>();
    if (in_block || !gradient.defined()) continue;
    EXPECT_LE(max_difference(gradient, of_free.at(name)), 1e-13)
        << name << ": what is frozen passes gradients on";
  }
  EXPECT_LT(left, all);
  frozen.supervision.freeze_parts = "embedding, head";
  const auto without_ends = gradients_by_name(frozen);
  EXPECT_TRUE(is_zero_gradient(without_ends.at("position_table.weight")));
  EXPECT_TRUE(is_zero_gradient(without_ends.at("head.2.weight")));
  EXPECT_FALSE(is_zero_gradient(without_ends.at("attention.0.qkv.weight")));
}

// A judge's frozen walk leaves nothing behind that a later or an earlier pass would see.
TEST(FreezeParts, TheOrderOfPassesChangesNoGradient) {
  const auto model = objective_model(objective_config("conf_6_2"));
  const Batch batch = objective_batch();
  std::vector<Tensor> once, again;
  for (std::vector<Tensor>* out : {&once, &again}) {
    model->parameters().zero_grad();
    const ModelOutput first = model->forward(batch, {});
    if (out == &again) model->forward(batch, {});
    backward(objective_sum(first));
    for (const Tensor& t : tensors_of(*model)) out->push_back(t.grad());
  }
  for (size_t i = 0; i < once.size(); ++i) EXPECT_TRUE(same_bits(once[i], again[i])) << i;
}

}  // namespace
}  // namespace fathom::testing
