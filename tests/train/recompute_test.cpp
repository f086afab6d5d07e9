// recompute_blocks: the same run, in less memory.
#include "fathom/model/walk/graph.h"

#include "fathom/ops/ops.h"
#include "model/memory_meter.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

class RecomputeTest : public TrainTest {
 protected:
  static RunConfig config(int64_t layers, bool recompute) {
    RunConfig c = tiny_run();
    c.model.backbone.n_layer = layers;
    c.model.backbone.n_embd = 32;
    c.model.backbone.block_size = 32;
    c.model.backbone.dropout = 0.1;
    c.data.batch_size = 8;
    c.training.recompute_blocks = recompute;
    return c;
  }

  // Of one step, besides what is there between steps.
  int64_t peak(const RunConfig& c) {
    Trainer t = trainer(c);
    t.train_step();
    return MemoryMeter::peak_of([&] { t.train_step(); });
  }
};

TEST_F(RecomputeTest, ActivationsOfOneBlockAreThereAtATime) {
  const int64_t rows = 8 * 32, stream = rows * 32 * 4;  // bytes of (R, C)
  const int64_t kept = peak(config(9, false)) - peak(config(3, false));
  const int64_t recomputed = peak(config(9, true)) - peak(config(3, true));
  // Six more blocks: each keeps its input, and gradients of its weights until the step.
  int64_t gradients = 0;
  for (const ParameterSpec& p : parameter_table(config(9, true).model, 8))
    gradients += p.count() * 4;
  for (const ParameterSpec& p : parameter_table(config(3, true).model, 8))
    gradients -= p.count() * 4;
  EXPECT_GT(kept, 6 * 10 * stream);
  EXPECT_LT(recomputed, 6 * 2 * stream + gradients);
}

// Gradients are summed in another order where several passes make a step.
TEST_F(RecomputeTest, OfSeveralPassesIsTheSameButForRounding) {
  RunConfig c = config(3, false);
  c.data.gradient_accumulation_steps = 3;
  const StepResult kept = first_step(trainer(c));
  c.training.recompute_blocks = true;
  const StepResult recomputed = first_step(trainer(c));
  EXPECT_EQ(kept.report.loss, recomputed.report.loss);
  EXPECT_LT(relative_distance(recomputed.gradient, kept.gradient), 1e-6);
}

// A weight that is cast in a part without a graph, and then in one with a graph.
TEST_F(RecomputeTest, CastsOutsideOfTheGraphAreNotTakenIntoIt) {
  const Tensor x = random_normal({3, 8}, 1).to(at::kFloat);
  const auto reaches = [&](bool remembered) {
    Tensor w = random_normal({5, 8}, 2).to(at::kFloat).set_requires_grad(true);
    const Autocast autocast(Precision::kBFloat16, at::kCPU);
    if (remembered) {
      const at::NoGradGuard no_grad;
      linear(x, w, Tensor());
    } else {
      const GraphIf graph(false);
      linear(x, w, Tensor());
    }
    const Tensor y = linear(x, w, Tensor());
    return y.requires_grad();
  };
  EXPECT_TRUE(reaches(false));
  EXPECT_FALSE(reaches(true)) << "then the class is not needed any more";
}

TEST_F(RecomputeTest, TheRunIsTheSame) {
  for (const Precision dtype : {Precision::kFloat32, Precision::kBFloat16}) {
    RunConfig c = config(3, false);
    c.training.dtype = dtype;
    const History kept = run(c, "kept");
    c.training.recompute_blocks = true;
    const History recomputed = run(c, "recomputed");
    ASSERT_EQ(kept.steps.size(), recomputed.steps.size());
    for (size_t i = 0; i < kept.steps.size(); ++i)
      EXPECT_EQ(kept.steps[i].loss, recomputed.steps[i].loss);
    const auto weights_of = [&](const char* folder) {
      return slurp(checkpoint(folder, "last") + "/model.safetensors");
    };
    EXPECT_TRUE(weights_of("kept") == weights_of("recomputed"));
    for (const char* folder : {"kept", "recomputed"}) std::filesystem::remove_all(temp_ / folder);
  }
}

}  // namespace
}  // namespace fathom::testing
