// What besides a text's operations a program may have: max, min, power and log, held to what keeps
// them and their slopes finite.
#include <gmock/gmock.h>

#include <ATen/ops/isfinite.h>

#include "errors.h"
#include "experiments/dag/dag_config.h"
#include "experiments/dag/numbers.h"
#include "fathom/train/recipe/numbers_options.h"
#include "model/testing.h"
#include "recipe/config_testing.h"

namespace fathom::testing::dag_held_operations {
namespace {

using dag::ArithmeticCounts;
using dag::ArithmeticOptions;
using dag::Clip;
using dag::Numbers;
using ::testing::HasSubstr;
using O = fathom::Operation;

// What power and log are held to is the operations' own: whatever the clip, and in both domains.
TEST(HeldOperations, AreCountedWhereTheyAreHeld) {
  struct Case {
    O operation;
    double x, y, value;
    int64_t clamped, divided_by_zero;
  };
  const std::vector<Case> cases = {{O::kPower, -3, 2, -9, 0, 0},
                                   {O::kPower, 4, -0.5, 0.5, 0, 0},
                                   {O::kPower, 2, 10, 64, 1, 0},
                                   {O::kPower, 2, -1e6, 1.0 / 64, 1, 0},
                                   {O::kPower, -5000, 2, -1e6, 1, 0},
                                   {O::kPower, 7, 0, 1, 0, 0},
                                   {O::kPower, 0, 3, 0, 0, 0},
                                   {O::kPower, 0, 0, 0, 0, 0},
                                   {O::kPower, 0, 4, 0, 0, 0},
                                   {O::kPower, 0, -1, 0, 0, 1},
                                   {O::kLog, -7.5, 1, std::log(7.5), 0, 0},
                                   {O::kLog, 1, 1, 0, 0, 0},
                                   {O::kLog, 0.01, 1, std::log(0.01), 0, 0},
                                   {O::kLog, 0, 1, -20, 1, 0},
                                   {O::kLog, 1e-12, 1, -20, 1, 0},
                                   {O::kLog, std::exp(30), 1, 20, 1, 0},
                                   {O::kMax, -3, -2, -2, 0, 0},
                                   {O::kMax, 0, -2, 0, 0, 0},
                                   {O::kMin, 3, -2, -2, 0, 0},
                                   {O::kMin, -3, -2, -3, 0, 0},
                                   {O::kMin, 0, 5, 0, 0, 0},
                                   {O::kMax, 2.5, 2.5, 2.5, 0, 0},
                                   {O::kMin, -1e-9, 1e-9, -1e-9, 0, 0}};
  for (const Case& c : cases)
    for (const bool linear : {true, false}) {
      SCOPED_TRACE(std::string(to_text(c.operation)) + (linear ? ", linear" : ""));
      const auto number = [&](double v) { return linear ? linear_of({v}) : sign_log_of({v}); };
      ArithmeticCounts counts;
      const Numbers z =
          dag::apply(c.operation, number(c.x), number(c.y), {Clip::kNone, 0}, &counts);
      EXPECT_NEAR(z.value().item<double>(), c.value, 1e-12 * std::abs(c.value))
          << c.x << ", " << c.y;
      EXPECT_EQ(counts.clamped, c.clamped) << c.x << ", " << c.y;
      EXPECT_EQ(counts.divided_by_zero, c.divided_by_zero) << c.x << ", " << c.y;
      // What a program that is read off gives.
      const double read = fathom::apply(c.operation, c.x, c.y);
      if (c.divided_by_zero == 0)
        EXPECT_NEAR(read, c.value, 1e-12 * std::abs(c.value));
      else
        EXPECT_FALSE(std::isfinite(read));
    }
}

// In single precision a power of what stands for 0 is beyond what is carried, and 0's is not.
TEST(HeldOperations, APowerOfZeroReachesNoLimit) {
  const auto clamped = [](double x) {
    ArithmeticCounts counts;
    const auto number = [](double v) { return of_type(linear_of({v}), at::kFloat); };
    dag::apply(O::kPower, number(x), number(4), {Clip::kNone, 0}, &counts);
    return counts.clamped;
  };
  EXPECT_EQ(clamped(0), 0);
  EXPECT_EQ(clamped(1e-8), 1);
}

// A guard of the trainer has to see it.
TEST(HeldOperations, OfZeroKeepWhatIsNoNumber) {
  const auto has_none = [](O operation, const Numbers& x, const Numbers& y) {
    ArithmeticCounts counts;
    const Numbers z = dag::apply(operation, x, y, {}, &counts);
    return counts.nonfinite == 1 && std::isnan(z.value().item<double>());
  };
  const auto of = [](double sign, double log) -> Numbers {
    return {{}, tensor_of({sign}, {1}), tensor_of({log}, {1})};
  };
  EXPECT_TRUE(has_none(O::kPower, of(0, 0), of(1, NAN)));
  EXPECT_TRUE(has_none(O::kPower, of(0, 0), of(NAN, 1)));
  EXPECT_TRUE(has_none(O::kPower, of(0, NAN), of(1, 1)));
  EXPECT_TRUE(has_none(O::kLog, of(0, NAN), of(1, 1)));
}

// By what signs they have, however sure, and then by their sizes.
TEST(HeldOperations, CompareSoftSigns) {
  const Numbers x = {{}, tensor_of({0.25, -0.5, 0.5}, {3}), tensor_of({3, 2, 1}, {3})};
  const Numbers y = {{}, tensor_of({1, -1, 1}, {3}), tensor_of({2, 3, 1}, {3})};
  const Numbers larger = dag::apply(O::kMax, x, y, {}, nullptr),
                smaller = dag::apply(O::kMin, x, y, {}, nullptr);
  EXPECT_EQ(numbers(larger.sign), (std::vector<double>{0.25, -0.5, 0.75}));
  EXPECT_EQ(numbers(smaller.sign), (std::vector<double>{1, -1, 0.75}));
  EXPECT_EQ(numbers(smaller.log), (std::vector<double>{2, 3, 1}));
}

TEST(HeldOperations, HaveFiniteSlopesInTheLinearDomain) {
  const std::vector<double> special = {-1e26, -1e3, -6, -1, -1e-8, -1e-30, 0,
                                       1e-30, 1e-8, 1,  6,  1e3,   1e26};
  std::vector<double> first, second;
  for (const double a : special)
    for (const double b : special) first.push_back(a), second.push_back(b);
  const auto n = static_cast<int64_t>(first.size());
  for (const auto type : {at::kFloat, at::kDouble})
    for (const O operation : {O::kMax, O::kMin, O::kPower, O::kLog})
      for (const Clip clip : {Clip::kClamp, Clip::kNone}) {
        const Tensor x = tensor_of(first, {n}).to(type).set_requires_grad(true),
                     y = tensor_of(second, {n}).to(type).set_requires_grad(true);
        const Numbers z = dag::apply(operation, {x, {}, {}}, {y, {}, {}}, {clip, 60}, nullptr);
        backward(z.real.sum());
        for (const Tensor& t : {z.real, x.grad(), y.grad()})
          EXPECT_TRUE(!t.defined() || at::isfinite(t).all().item<bool>()) << to_text(operation);
      }
}

// A model's programs have them in both executors and domains, and its log their names.
TEST(HeldOperations, AreNamesOfAModelsPrograms) {
  for (const char* executor : {"scratch", "stack"})
    for (const char* domain : {"signlog", "linear"}) {
      SCOPED_TRACE(std::string(executor) + ", " + domain);
      const ModelConfig config = dag_config({{"dag_executor", executor},
                                             {"dag_domain", domain},
                                             {"dag_ops", "max, add, log, power, min"}});
      const auto model = make_model(config, 11, 1, at::kCPU, at::kDouble);
      disturb(*model, 0.2);
      Batch batch;
      batch.tokens_BT = random_tokens({3, 6}, 11, 1);
      batch.targets_BT = random_tokens({3, 6}, 11, 2);
      Pass pass;
      pass.training = true;
      const ModelOutput output = model->forward(batch, pass);
      for (const char* name : {"max", "add", "log", "power", "min"})
        EXPECT_GT(output.metrics.at(std::string("dag/op_share.") + name).sum, 0) << name;
      backward(output.losses.at(0).sum);
      EXPECT_EQ(output.after_backward().count("grad/op/power"), 1U);
      for (const Parameter& p : model->parameters().all())
        EXPECT_TRUE(at::isfinite(p.tensor.grad()).all().item<bool>()) << p.spec.name;
    }
}

// Labels name what texts write down: a model that learned from them would unlearn the others.
TEST(HeldOperations, AreRefusedWhereLabelsAreLearned) {
  const auto drawn = [](const Settings& typed) {
    return operations_of(numbers_of(resolved("dag_small_stack", typed).config));
  };
  const auto refused = [&](const Settings& typed) { return refusal_of([&] { drawn(typed); }); };
  const Settings::value_type ops = {"dag_ops", "add, max, identity"},
                             examples = {"stream_share", "0.5"};
  const Error error = refused({ops, examples});
  EXPECT_THAT(error.what(), HasSubstr("dag_ops = \"add, max, identity\" has max, which no text "
                                      "writes down"));
  EXPECT_EQ(
      error.hint(),
      "leave it out of dag_ops, or --stream_share=1 --stream_labels=False, for streams have no "
      "labels then");
  // Even where the texts keep to the others.
  EXPECT_THAT(refused({ops, examples, {"number_operations", "add"}}).what(), HasSubstr("has max"));
  const Error predictor = refusal_of([] {
    resolved("dag_predictor_small", {{"dag_ops", "add, log"}});
  });
  EXPECT_THAT(predictor.what(), HasSubstr("has log"));
  EXPECT_EQ(predictor.hint(), "leave it out of dag_ops") << "it has nothing but labels";
  // Texts have those that they can; nobody is asked for what is not learned.
  EXPECT_EQ(drawn({ops}), (std::vector<O>{O::kAdd, O::kIdentity}));
  EXPECT_EQ(drawn({ops, examples, {"op_loss_weight", "0"}}).size(), 2U);
  EXPECT_EQ(drawn({{"dag_ops", "max, min, identity"}}).size(), 5U);
  EXPECT_THAT(refused({{"number_operations", "add, power"}}).what(),
              HasSubstr("number_operations = \"add, power\" has power, which no text writes down"));
}

// An evaluation on examples teaches nothing.
TEST(HeldOperations, AreRefusedOfATrainingAlone) {
  RunConfig asked =
      resolved("dag_small_stack", {{"dag_ops", "add, max, identity, log, power"}}).config;
  asked.data.numbers.stream_share = 0;
  EXPECT_EQ(operations_of(numbers_of(asked)), (std::vector<O>{O::kAdd, O::kIdentity}));
  EXPECT_NO_THROW(check(numbers_of(asked)));
}

}  // namespace
}  // namespace fathom::testing::dag_held_operations
