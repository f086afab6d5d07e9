// The model against recordings of another one that shares no code with it: tests/golden/record.py,
// whose docstring describes the files, the weights and the batch.
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <sstream>

#include "fathom/model/depth_model.h"
#include "fathom/ops/plain.h"
#include "fathom/train/gradients.h"
#include "fathom/train/optimizer.h"
#include "model/walking.h"
#include "source_path.h"

namespace fathom::testing {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kGoldenB = 3, kGoldenT = 9, kV = 11;
const fs::path kFolder = source_path("tests/golden");

// ---- The recording

using Numbers = std::vector<double>;

struct Golden {
  ModelConfig config;
  bool masked_targets = false;
  double loss = 0;
  std::optional<double> infer;
  std::map<int, double> layer_loss;
  std::vector<int64_t> exits;  // empty: nothing halts
  std::map<int, Numbers> logits;
  std::map<std::string, Numbers> grad;  // norm, and dot product with the probe
  Numbers steps;
};

// record.py's DEFAULTS; the keys that it does not know stay as they are.
ModelConfig recorded_defaults() {
  ModelConfig config;
  BackboneConfig& b = config.backbone;
  b.n_layer = 3;
  b.n_head = 2;
  b.n_embd = 12;
  b.block_size = kGoldenT;
  b.tie_head = false;
  config.halting.mask_self = true;
  return config;
}

void set_key(Golden& golden, const std::string& key, std::string text) {
  if (key == "masked_targets") {
    golden.masked_targets = text == "1";
    return;
  }
  FieldList fields;
  add_fields(fields, golden.config);
  const Field* field = fields.find(key);
  ASSERT_NE(field, nullptr) << key;
  if (field->type().rfind("bool", 0) == 0) text = text == "1" ? "true" : "false";
  fields.set_text(key, text, "golden");
}

Golden read_golden(const std::string& variant) {
  Golden golden;
  golden.config = recorded_defaults();
  std::ifstream file(kFolder / (variant + ".txt"));
  for (std::string line; std::getline(file, line);) {
    std::istringstream in(line);
    std::string word, name;
    in >> word;
    const auto rest = [&] {
      Numbers values;
      for (std::string x; in >> x;) values.push_back(std::stod(x));
      return values;
    };
    if (word == "config") {
      std::string value;
      in >> name >> value;
      set_key(golden, name, value);
    } else if (word == "loss") {
      golden.loss = rest().at(0);
    } else if (word == "infer") {
      golden.infer = rest().at(0);
    } else if (word == "layer_loss" || word == "logits") {
      in >> name;
      if (word == "logits")
        golden.logits[std::stoi(name)] = rest();
      else
        golden.layer_loss[std::stoi(name)] = rest().at(0);
    } else if (word == "exits") {
      for (const double layer : rest()) golden.exits.push_back(int64_t(layer));
    } else if (word == "grad") {
      in >> name;
      golden.grad[name] = rest();
    } else if (word == "steps") {
      golden.steps = rest();
    } else {
      EXPECT_EQ(word, "#") << "a line that is not understood: " << line;
    }
  }
  validate(golden.config);
  return golden;
}

std::vector<std::string> variants() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kFolder))
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem());
  std::sort(names.begin(), names.end());
  return names;
}

// ---- Numbers from names

uint64_t fnv1a64(const std::string& name) {
  uint64_t value = 0xCBF29CE484222325;
  for (const char c : name) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return value;
}

uint64_t splitmix64(uint64_t x) {
  uint64_t z = x + 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

// In [-1, 1).
double signed_uniform(const std::string& name, int64_t i) {
  return 2 * (double(splitmix64(fnv1a64(name) + uint64_t(i)) >> 11) * 0x1p-53) - 1;
}

Tensor recorded_parameter(const std::string& name, at::IntArrayRef shape) {
  const auto begins = [&](const char* text) { return name.rfind(text, 0) == 0; };
  const bool is_weight = name.substr(name.rfind('.')) == ".weight";
  double base = 0, amp = 0.3;
  if (begins("norm") && is_weight)
    base = 1, amp = 0.2;
  else if (begins("head.") && is_weight)
    amp = 1.5;
  else if (begins("token_table.") || begins("position_table."))
    amp = 0.5;
  const Tensor values = at::empty(shape, at::TensorOptions(at::kDouble));
  for (int64_t i = 0; i < values.numel(); ++i)
    values.data_ptr<double>()[i] = base + amp * signed_uniform(name, i);
  return values;
}

Batch recorded_batch(bool masked_targets) {
  Batch batch;
  batch.tokens_BT = at::empty({kGoldenB, kGoldenT}, at::TensorOptions(at::kLong));
  batch.targets_BT = at::empty({kGoldenB, kGoldenT}, at::TensorOptions(at::kLong));
  const auto stream = [](int64_t i) {
    return int64_t(splitmix64(fnv1a64("tokens") + uint64_t(i)) % uint64_t(kV));
  };
  for (int64_t i = 0; i < kGoldenB * kGoldenT; ++i) {
    const int64_t place = i / kGoldenT * (kGoldenT + 1) + i % kGoldenT;
    batch.tokens_BT.data_ptr<int64_t>()[i] = stream(place);
    batch.targets_BT.data_ptr<int64_t>()[i] = masked_targets && i % 5 == 3 ? -1 : stream(place + 1);
  }
  return batch;
}

// ---- The same of the model

Pass training_pass() {
  return {true, RandomField(0, 0, 0)};
}

Tensor golden_objective(const ModelOutput& output) {
  Tensor total;
  for (const LossPart& part : output.losses) {
    if (part.count == 0) continue;
    const Tensor mean = part.sum / part.count;
    total = total.defined() ? total + mean : mean;
  }
  return total;
}

class Recorded {
 public:
  Recorded(const Golden& golden, at::ScalarType dtype)
      : golden_(golden),
        batch_(recorded_batch(golden.masked_targets)),
        model_(model_of(golden.config, kV, dtype)) {
    const at::NoGradGuard no_grad;
    for (const Parameter& p : model_->parameters().all())
      Tensor(p.tensor).copy_(recorded_parameter(p.spec.name, p.tensor.sizes()));
  }

  NextTokenModel& model() { return *model_; }
  ModelOutput forward() const { return model_->forward(batch_, training_pass()); }

  KeptTrace walk() const {
    const at::NoGradGuard no_grad;
    WalkOptions options;
    options.training = true;
    return run_kept(depth().walk(), depth().program(), batch_, options);
  }

  // Halting decisions of every layer, flat.
  std::vector<bool> halts() const {
    std::vector<bool> all;
    const KeptTrace trace = walk();
    for (const StepRecord* r : trace.readouts())
      if (r->decision.halts_R.defined())
        for (const double x : numbers(r->decision.halts_R)) all.push_back(x != 0);
    return all;
  }

  std::map<int, Numbers> logits() const {
    const DepthProgram program = depth().program();
    std::map<int, Numbers> all;
    const KeptTrace trace = walk();
    for (size_t i = 0; i < trace.steps.size(); ++i) {
      const StepRecord& r = trace.steps[i];
      if (r.readout < 0) continue;
      const LinearParams& head =
          depth().walk().params().head.at(program.steps[i].layer.readout->head);
      all[r.layer] = numbers(linear(trace.h(r), head.weight, head.bias));
    }
    return all;
  }

  // The first layer that halts, else the last.
  std::vector<int64_t> exits() const {
    if (golden_.exits.empty()) return {};
    const std::vector<bool> halt = halts();
    const size_t R = size_t(kGoldenB * kGoldenT), L = halt.size() / R;
    std::vector<int64_t> exit(R, int64_t(L) - 1);
    for (size_t i = 0; i < R; ++i)
      for (size_t l = L; l-- > 0;)
        if (halt[l * R + i]) exit[i] = int64_t(l);
    return exit;
  }

  // Objective, and an update from it.
  double step(Optimizer& optimizer) {
    model_->parameters().zero_grad();
    const Tensor loss = golden_objective(forward());
    backward(loss);
    optimizer.step(0.01, clip_scale(gradient_norm(model_->parameters()), 1.0));
    return loss.item<double>();
  }

 private:
  const DepthModel& depth() const { return dynamic_cast<const DepthModel&>(*model_); }

  const Golden& golden_;
  Batch batch_;
  std::unique_ptr<NextTokenModel> model_;
};

// Within `tolerance`, relative where the expected number is above 1.
void expect_near(double actual, double expected, double tolerance, const std::string& what) {
  EXPECT_NEAR(actual, expected, tolerance * std::max(1.0, std::abs(expected))) << what;
}

void expect_pass(const Recorded& recorded, const Golden& golden, double tolerance) {
  EXPECT_EQ(recorded.exits(), golden.exits);
  const ModelOutput output = recorded.forward();
  expect_near(golden_objective(output).item<double>(), golden.loss, tolerance, "loss");
  const auto metric = [&](const std::string& name) {
    const auto found = output.metrics.find(name);
    if (found != output.metrics.end()) return found->second.sum / found->second.count;
    ADD_FAILURE() << "no metric " << name;
    return 0.0;
  };
  if (golden.infer) expect_near(metric("infer"), *golden.infer, tolerance, "infer");
  for (const auto& [layer, loss] : golden.layer_loss) {
    const std::string name = "layer_loss/" + std::to_string(layer);
    if (golden.layer_loss.size() > 1) expect_near(metric(name), loss, tolerance, name);
  }
  expect_near(output.loss.sum.item<double>() / output.loss.count,
              golden.layer_loss.rbegin()->second, tolerance, "loss of the answer");

  const std::map<int, Numbers> logits = recorded.logits();
  ASSERT_EQ(logits.size(), golden.logits.size());
  for (const auto& [layer, expected] : golden.logits) {
    ASSERT_EQ(logits.count(layer), 1U) << layer;
    const Numbers& actual = logits.at(layer);
    ASSERT_EQ(actual.size(), size_t(kGoldenB * kGoldenT * kV));
    ASSERT_EQ(expected.size(), actual.size());
    for (size_t i = 0; i < actual.size(); ++i)
      expect_near(actual[i], expected[i], tolerance,
                  "logit " + std::to_string(i) + " of layer " + std::to_string(layer));
  }
}

class GoldenTest : public ::testing::TestWithParam<std::string> {
 protected:
  const Golden golden_ = read_golden(GetParam());
};

TEST_P(GoldenTest, PassInDoublePrecision) {
  expect_pass(Recorded(golden_, at::kDouble), golden_, 1e-10);
}

TEST_P(GoldenTest, PassInSinglePrecision) {
  expect_pass(Recorded(golden_, at::kFloat), golden_, 1e-5);
}

TEST_P(GoldenTest, GradientOfEveryParameter) {
  Recorded recorded(golden_, at::kDouble);
  backward(golden_objective(recorded.forward()));
  std::set<std::string> names;
  for (const Parameter& p : recorded.model().parameters().all()) {
    SCOPED_TRACE(p.spec.name);
    names.insert(p.spec.name);
    ASSERT_EQ(golden_.grad.count(p.spec.name), 1U);
    const Numbers& expected = golden_.grad.at(p.spec.name);
    double squares = 0, dot = 0;
    if (p.tensor.grad().defined()) {
      const Numbers g = numbers(p.tensor.grad());
      for (size_t i = 0; i < g.size(); ++i) {
        squares += g[i] * g[i];
        dot += g[i] * signed_uniform("probe." + p.spec.name, int64_t(i));
      }
    }
    // A gradient of zero in exact arithmetic, that of a key's bias, is rounding in both.
    const double tolerance = 1e-9 * expected[0] + 1e-14;
    EXPECT_NEAR(std::sqrt(squares), expected[0], tolerance);
    EXPECT_NEAR(dot, expected[1], tolerance);
  }
  EXPECT_EQ(names.size(), golden_.grad.size());
}

OptimizerConfig recorded_optimizer() {
  OptimizerConfig config;
  config.weight_decay = 0.1;
  config.beta1 = 0.9;
  config.beta2 = 0.95;
  config.adam_eps = 1e-8;
  config.grad_clip = 1.0;
  config.decay_rule = DecayRule::kMatrices;
  return config;
}

TEST_P(GoldenTest, TenSteps) {
  ASSERT_EQ(golden_.steps.size(), 10U);
  Recorded wide(golden_, at::kDouble), narrow(golden_, at::kFloat);
  Optimizer wide_optimizer(wide.model().parameters(), recorded_optimizer());
  Optimizer narrow_optimizer(narrow.model().parameters(), recorded_optimizer());
  size_t compared = 0;
  for (size_t n = 0; n < 10; ++n) {
    // A score may pass its threshold in one precision and not in the other: two runs from there on.
    if (compared == n && narrow.halts() == wide.halts()) ++compared;
    const std::string what = "step " + std::to_string(n);
    expect_near(wide.step(wide_optimizer), golden_.steps[n], 1e-9, what);
    const double single = narrow.step(narrow_optimizer);
    if (compared == n + 1) expect_near(single, golden_.steps[n], 1e-5, what + ", single");
  }
  EXPECT_LT(golden_.steps[9], golden_.steps[0]);
  RecordProperty("steps_compared_in_single_precision", int(compared));
  EXPECT_GE(compared, 5U);
}

INSTANTIATE_TEST_SUITE_P(Golden, GoldenTest, ::testing::ValuesIn(variants()),
                         [](const auto& variant) { return variant.param; });

// A file that went missing would be a test that went missing.
TEST(GoldenFiles, AreThereForEveryVariantThatTheRecorderKnows) {
  std::ifstream file(kFolder / "record.py");
  std::stringstream text;
  text << file.rdbuf();
  const std::string script = text.str();
  const std::regex variant("\n    ((?:gpt2|exit)_[a-z0-9_]+)=dict\\(");
  std::vector<std::string> known;
  for (std::sregex_iterator it(script.begin(), script.end(), variant), end; it != end; ++it)
    known.push_back((*it)[1]);
  EXPECT_THAT(variants(), ::testing::UnorderedElementsAreArray(known));
  EXPECT_GE(known.size(), 19U);
}

}  // namespace
}  // namespace fathom::testing
