// Every preset on another device (stand_in_cuda.cpp): it computes what the processor does by the
// same definitions, and nothing of it is left on the processor.
//
// B sequences, T positions.
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "fathom/decode/decoder.h"
#include "fathom/model/models.h"
#include "fathom/train/batches.h"
#include "property/presets.h"

namespace fathom::property {
namespace {

const at::Device kThere(at::kCUDA, 0);

// Its weights are those of `here`.
std::unique_ptr<Model> model_there(const ModelConfig& config, const Model& here) {
  auto model = make_model(config, kVocab, 1, kThere);
  const at::NoGradGuard no_grad;
  const std::vector<Parameter>&from = here.parameters().all(), &to = model->parameters().all();
  for (size_t i = 0; i < from.size(); ++i) Tensor(to[i].tensor).copy_(from[i].tensor);
  return model;
}

Tensor back(const Tensor& x) {
  return x.detach().to(at::kCPU);
}

bool near(double a, double b, double tolerance) {
  return std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
}

void expect_same(const ModelOutput& there, const ModelOutput& here, double tolerance) {
  ASSERT_EQ(there.losses.size(), here.losses.size());
  for (size_t i = 0; i < here.losses.size(); ++i) {
    const LossPart &a = there.losses[i], &b = here.losses[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_TRUE(near(a.count, b.count, tolerance)) << b.name;
    if (!b.sum.defined()) continue;
    EXPECT_TRUE(near(a.sum.item<double>(), b.sum.item<double>(), tolerance)) << b.name;
  }
  for (const auto& [name, metric] : here.metrics)
    EXPECT_TRUE(near(there.metrics.at(name).sum, metric.sum, tolerance)) << name;
}

void expect_same_gradients(const Model& there, const Model& here) {
  for (size_t i = 0; i < here.parameters().all().size(); ++i) {
    const Parameter& p = here.parameters().all()[i];
    const Tensor g = there.parameters().all()[i].tensor.grad();
    ASSERT_EQ(g.defined(), p.tensor.grad().defined()) << p.spec.name;
    if (!g.defined()) continue;
    EXPECT_LT(relative_gap(back(g), p.tensor.grad()), 1e-3) << p.spec.name;
  }
}

class Device : public PropertyTest {
 protected:
  static void backward(const ModelOutput& output) {
    torch::autograd::backward({objective(output.losses)}, {});
    if (output.after_backward) output.after_backward();
  }

  static ModelOutput forward(const Model& model, const Batch& batch, const Pass& pass,
                             Precision dtype) {
    const Autocast casts(dtype, kThere);
    return model.forward(batch, pass);
  }

  void trains(const Case& c, const Batch& batch) {
    const Subject s = subject(c, batch, at::kFloat, /*training=*/true);
    const auto other = model_there(s.config, *s.model);
    const Batch elsewhere = map_columns(batch, [](const Tensor& x) { return x.to(kThere); });
    Pass pass;
    pass.training = true;
    pass.random = RandomField(5, 1, 0);
    pass.predictions = true;
    const ModelOutput here = s.model->forward(batch, pass), there = other->forward(elsewhere, pass);
    expect_same(there, here, 1e-4);
    EXPECT_EQ(other->known_counts(elsewhere, pass), s.model->known_counts(batch, pass));
    if (here.predictions_BT.defined()) {
      EXPECT_TRUE(back(there.predictions_BT).equal(here.predictions_BT));
    }
    backward(here);
    backward(there);
    expect_same_gradients(*other, *s.model);
    pass.recompute_blocks = !c.own();
    for (const Precision dtype : {Precision::kFloat32, Precision::kBFloat16}) {
      other->parameters().zero_grad();
      backward(forward(*other, elsewhere, pass, dtype));
      if (dtype == Precision::kFloat32) expect_same_gradients(*other, *s.model);
    }
    const at::NoGradGuard no_grad;
    pass.training = false;
    expect_same(other->forward(elsewhere, pass), s.model->forward(batch, pass), 1e-4);
    forward(*other, elsewhere, pass, Precision::kBFloat16);
  }

  static void decodes(const Case& c) {
    const Subject s = subject(c, text_batch(2, 6, 3), at::kFloat);
    const auto other = model_there(s.config, *s.model);
    Window window;
    window.capacity = kBlock;
    const std::vector<std::vector<int64_t>> texts = {{1, 2, 3}, {4, 5, 6, 7, 8}};
    for (const Exit exit : {Exit::kFirstConfident, Exit::kLast}) {
      Decoder here(*s.model, texts, window), there(*other->next_token_model(), texts, window);
      for (int64_t token = 0; token < 7; ++token) {  // beyond the window's end
        const NextToken a = there.next(exit), b = here.next(exit);
        ASSERT_LT(relative_gap(back(a.scores_NV), b.scores_NV), 1e-3) << token;
        ASSERT_TRUE(back(a.layer_N).equal(b.layer_N));
        for (size_t text = 0; text < texts.size(); ++text) {
          here.append(text, token);
          there.append(text, token);
        }
      }
    }
  }

  const PlainOperations only_;
};

std::vector<Case> every_case() {
  std::vector<Case> cases = all_cases();
  for (Case& c : preset_cases(/*of_wirings=*/true)) cases.push_back(std::move(c));
  return cases;
}

template <class F>
void each_case(const std::vector<Case>& cases, const F& f) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    try {
      f(c);
    } catch (const c10::Error& e) {
      ADD_FAILURE() << e.what_without_backtrace();
    } catch (const std::exception& e) {
      ADD_FAILURE() << e.what();
    }
  }
}

TEST_F(Device, TrainsWhatTheProcessorTrains) {
  each_case(every_case(), [&](const Case& c) { trains(c, text_batch(2, 7, 1)); });
}

TEST_F(Device, TrainsOnBatchesWithEverything) {
  each_case(all_cases(), [&](const Case& c) {
    if (!c.own()) trains(c, ragged_batch(3, 6, 2));  // else it makes batches of its own
  });
}

TEST_F(Device, DecodesWhatTheProcessorDecodes) {
  each_case(every_case(), [&](const Case& c) {
    if (c.grows()) decodes(c);
  });
}

// The stand-in is as strict as what it stands for: else nothing here would show a fault.
TEST(DeviceDeathTest, MixedWithTheProcessorIsRefused) {
  const Tensor here = at::zeros({3}), there = here.to(kThere);
  EXPECT_THROW(there + here, c10::Error);
  EXPECT_THROW(there.index_select(0, at::zeros({1}, at::TensorOptions(at::kLong))), c10::Error);
  EXPECT_NO_THROW(there + at::zeros({}));
  EXPECT_EQ((there + 1).sum().item<double>(), 3);
  EXPECT_DEATH(there.data_ptr<float>()[0] = 1, "");
}

}  // namespace
}  // namespace fathom::property
