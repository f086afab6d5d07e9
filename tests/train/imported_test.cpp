// A GPT-2 of Hugging Face's answers as an independent implementation says, and a run goes on from
// it. tests/golden/hugging_face/make.py made the model and its logits.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "exchange/golden_model.h"
#include "fathom/decode/decoder.h"
#include "fathom/exchange/hugging_face.h"
#include "fathom/model/device.h"
#include "fathom/train/checkpoint.h"
#include "fathom/train/optimizer.h"

namespace fathom::testing {
namespace {

using nlohmann::json;

class ImportedTest : public ::testing::Test {
 protected:
  std::string imported(const std::string& folder) {
    const ImportedModel model = read_hugging_face(folder);
    CheckpointWriter writer(temp_ / "checkpoint");
    write_imported(writer, imported_state(model, "gpt2"), model);
    writer.commit();
    return temp_ / "checkpoint";
  }
  // The largest difference between what the model of `folder` says and what was recorded as `key`.
  double largest_difference(const std::string& folder, const char* key) {
    const LoadedModel loaded = load_model(imported(folder), at::kCPU);
    const at::NoGradGuard no_grad;
    double largest = 0;
    const json recorded = json_file(golden_model() + "/expected.json");
    EXPECT_GT(recorded.at("sequences").size(), 0U);
    for (const json& sequence : recorded.at("sequences")) {
      const auto ids = sequence["ids"].get<std::vector<int64_t>>();
      const Tensor tokens_BT = at::tensor(ids, at::kLong).unsqueeze(0);
      const Tensor logits_BTV = loaded.model->next_token_model()->logits(tokens_BT).contiguous();
      const json& rows = sequence[key];
      EXPECT_EQ(logits_BTV.size(1), static_cast<int64_t>(rows.size()));
      for (size_t t = 0; t < rows.size(); ++t)
        for (size_t v = 0; v < rows[t].size(); ++v) {
          const double said = logits_BTV.data_ptr<float>()[t * 300 + v];
          largest = std::max(largest, std::abs(said - rows[t][v].get<double>()));
        }
    }
    return largest;
  }

  TempFolder temp_;
};

TEST_F(ImportedTest, AnswersAsTheIndependentImplementation) {
  const double largest = largest_difference(golden_model(), "gelu_new");
  EXPECT_LT(largest, 1e-5);
  RecordProperty("largest_difference", std::to_string(largest));
}

// The two forms of GELU differ by 3e-4 here.
TEST_F(ImportedTest, TheActivationIsTheOneOfItsConfig) {
  const std::string folder = copy_of_golden_model(temp_ / "exact");
  change_json(folder + "/config.json", [](json& j) { j["activation_function"] = "gelu"; });
  EXPECT_LT(largest_difference(folder, "gelu"), 1e-5);
  EXPECT_GT(largest_difference(folder, "gelu_new"), 1e-4);
}

TEST_F(ImportedTest, DecodesAsItReads) {
  const LoadedModel loaded = load_model(imported(golden_model()), at::kCPU);
  const json recorded = json_file(golden_model() + "/expected.json");
  for (const json& sequence : recorded.at("sequences")) {
    const auto ids = sequence["ids"].get<std::vector<int64_t>>();
    Window window;
    window.capacity = 24;
    Decoder decoder(*loaded.model->next_token_model(), {{ids.front()}}, window);
    NextToken next = decoder.next(Exit::kLast);
    for (size_t i = 1; i < ids.size(); ++i) {
      decoder.append(0, ids[i]);
      next = decoder.next(Exit::kLast);
    }
    const json& expected = sequence["gelu_new"].back();
    for (int64_t v = 0; v < 300; ++v)
      ASSERT_NEAR(next.scores_NV[0][v].item<float>(), expected.at(size_t(v)).get<double>(), 1e-5);
  }
}

// There is no optimizer.safetensors, also where the optimiser had moments before.
TEST_F(ImportedTest, MomentsBeginAtZero) {
  const std::string checkpoint = imported(golden_model());
  const LoadedModel loaded = load_model(checkpoint, at::kCPU);
  Optimizer optimizer(loaded.model->parameters(), loaded.state.config.optimizer);
  for (const Optimizer::State& s : optimizer.state()) s.at("m").fill_(1);
  optimizer.set_steps(5, {});
  const RunState state = load_checkpoint(checkpoint, loaded.model->parameters(), optimizer);
  EXPECT_EQ(state.step, 0);
  EXPECT_EQ(optimizer.steps(), 0);
  for (const Optimizer::State& s : optimizer.state())
    EXPECT_EQ(s.at("m").abs().max().item<float>(), 0) << s.name;
}

TEST_F(ImportedTest, AStateThatHadUpdatesNeedsItsMoments) {
  const std::string checkpoint = imported(golden_model());
  const LoadedModel loaded = load_model(checkpoint, at::kCPU);
  RunState state = loaded.state;
  state.step = state.optimizer_steps = 3;
  {
    CheckpointWriter writer(temp_ / "later");
    std::filesystem::copy_file(checkpoint + "/model.safetensors",
                               writer.path() + "/model.safetensors");
    spill(writer.path() + "/state.json", to_json(state).dump());
    writer.commit();
  }
  Optimizer optimizer(loaded.model->parameters(), state.config.optimizer);
  EXPECT_THAT(
      error_of([&] { load_checkpoint(temp_ / "later", loaded.model->parameters(), optimizer); }),
      ::testing::HasSubstr("optimizer.safetensors"));
}

}  // namespace
}  // namespace fathom::testing
