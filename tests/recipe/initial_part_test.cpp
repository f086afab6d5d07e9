// Another model's weights as a part: what is told before a tensor is made.
#include "fathom/train/recipe/initial_part.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fathom/base/text.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/safetensors.h"
#include "fathom/train/recipe/run_state.h"
#include "io/temp_folder.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::refusal_of;

// A checkpoint of a model two blocks deep, and an experiment that takes its first block.
class InitialPartTest : public ::testing::Test {
 protected:
  InitialPartTest() {
    save({{"theirs.up", {4, 3}}, {"theirs.down", {3, 4}}});
    architecture_->name = "idea";
    architecture_->add_parameters = [](const ModelConfig&, const DepthPlan&, int64_t V) {
      return std::vector<ParameterSpec>{{"idea.up", {4, 3}, Part::kOwn, zeros_init()},
                                        {"idea.down", {3, 4}, Part::kOwn, zeros_init()},
                                        {"idea.table", {V, 3}, Part::kOwn, zeros_init()}};
    };
    architecture_->parts_of = [this](const ModelConfig& ours, const ModelConfig& theirs) {
      n_layers_ = {ours.backbone.n_layer, theirs.backbone.n_layer};
      return names_;
    };
    config_ = preset_config("test_runner");
    config_.model.architecture = architecture_;
  }

  void save(const std::vector<std::pair<std::string, std::vector<int64_t>>>& tensors,
            Dtype dtype = Dtype::F32) {
    std::vector<TensorView> views;
    const std::vector<std::byte> zeros(4096);
    for (const auto& [name, shape] : tensors) {
      uint64_t size = dtype_size(dtype);
      for (const int64_t n : shape) size *= static_cast<uint64_t>(n);
      views.push_back({name, dtype, shape, {zeros.data(), size}});
    }
    CheckpointWriter writer(checkpoint_);
    write_file_durably(writer.path() + "/state.json", as_bytes(to_json(state_).dump()));
    write_safetensors(writer.path() + "/model.safetensors", views);
    writer.commit();
  }
  InitialPart found() { return find_initial_part(checkpoint_, config_, 7); }
  std::string refused() {
    const Error e = refusal_of([&] { found(); });
    EXPECT_FALSE(e.hint().empty());
    return e.what();
  }

  testing::TempFolder folder_;
  RunState state_;  // of the checkpoint
  std::string checkpoint_ = folder_ / "last";
  std::shared_ptr<Architecture> architecture_ = std::make_shared<Architecture>();
  std::vector<PartName> names_ = {{"idea.up", "theirs.up"}, {"idea.down", "theirs.down"}};
  std::pair<int64_t, int64_t> n_layers_;
  RunConfig config_;
};

TEST_F(InitialPartTest, IsTheExperimentsToName) {
  const InitialPart part = found();
  EXPECT_EQ(part.checkpoint, checkpoint_);
  ASSERT_EQ(part.names.size(), 2U);
  EXPECT_EQ(part.names[1].ours, "idea.down");
  EXPECT_EQ(part.names[1].theirs, "theirs.down");
  EXPECT_EQ(n_layers_, (std::pair<int64_t, int64_t>(config_.model.backbone.n_layer,
                                                    RunState().config.model.backbone.n_layer)));
  EXPECT_TRUE(part.notices.empty());
  architecture_->tells_of_part = [](const ModelConfig&, const ModelConfig&) {
    return std::vector<std::string>{"it will sing"};
  };
  EXPECT_THAT(found().notices, ::testing::ElementsAre("it will sing"));
  architecture_->parts_of = [](const ModelConfig&, const ModelConfig&) -> std::vector<PartName> {
    misuse("they do not go together", "take another");
  };
  EXPECT_THAT(refused(), HasSubstr("they do not go together"));
}

TEST_F(InitialPartTest, TextsThatGoOnWhereItsOwnEndedAreTold) {
  const auto told = [this](const char* theirs, int64_t digits, const char* ours, int64_t here) {
    state_.config.data.dataset = theirs;
    state_.config.data.numbers.result_digits = digits;
    save({{"theirs.up", {4, 3}}, {"theirs.down", {3, 4}}});
    config_.data.dataset = ours;
    config_.data.numbers.result_digits = here;
    return join(found().notices, "; ");
  };
  EXPECT_EQ(told("numbers", 0, "numbers", 4),
            "initial_part was trained with result_digits = 0, and the texts of this run have "
            "result_digits = 4: behind an expression they go on otherwise, and --result_digits=4 "
            "where it is trained would show it the same texts");
  EXPECT_THAT(told("numbers", 4, "rain, numbers", 0), HasSubstr("--result_digits=0"));
  EXPECT_EQ(told("numbers", 3, "numbers", 4), "") << "both have them";
  EXPECT_EQ(told("numbers", 0, "numbers", 0), "");
  EXPECT_EQ(told("numbers", 0, "rain", 4), "");
  EXPECT_EQ(told("rain", 0, "numbers", 4), "");
}

TEST_F(InitialPartTest, LinesThatItHasNotReadAreTold) {
  const auto told = [this](const char* theirs, double share, const char* ours, double here) {
    state_.config.data.dataset = theirs;
    state_.config.data.numbers.stream_share = share;
    save({{"theirs.up", {4, 3}}, {"theirs.down", {3, 4}}});
    config_.data.dataset = ours;
    config_.data.numbers.stream_share = here;
    return join(found().notices, "; ");
  };
  EXPECT_EQ(told("numbers", 0, "numbers", 0.5),
            "initial_part was trained on one example a sequence (stream_share = 0), and this run "
            "has streams (stream_share = 0.5), of which it has never read a second line: "
            "--stream_share=1 --stream_labels=True where it is trained would show it some");
  EXPECT_EQ(told("numbers", 0.1, "numbers", 1), "") << "it has read some";
  EXPECT_EQ(told("numbers", 0, "numbers", 0), "");
  EXPECT_EQ(told("numbers", 1, "numbers", 0), "") << "one line is a first one";
  EXPECT_EQ(told("numbers", 0, "rain", 1), "");
  EXPECT_EQ(told("rain", 0, "numbers", 1), "");
}

TEST_F(InitialPartTest, WhatDoesNotFitIsToldAtOnceWithBothShapes) {
  save({{"theirs.up", {4, 5}}, {"other", {1}}});
  EXPECT_THAT(refused(), AllOf(HasSubstr("theirs.up is [4, 5] there and idea.up [4, 3] here"),
                               HasSubstr("theirs.down is not there, for idea.down [3, 4]"),
                               HasSubstr("test_runner")));
  save({{"theirs.up", {4, 3}}, {"theirs.down", {4, 3}}});
  EXPECT_THAT(refused(), AllOf(HasSubstr("theirs.down is [4, 3] there and idea.down [3, 4] here"),
                               Not(HasSubstr("theirs.up"))));
  save({{"theirs.up", {4, 3}}, {"theirs.down", {3, 4}}}, Dtype::BF16);
  EXPECT_THAT(refused(), HasSubstr("theirs.up is BF16"));
  // Of the run's own vocabulary.
  names_ = {{"idea.table", "theirs.table"}};
  save({{"theirs.table", {8, 3}}});
  EXPECT_THAT(refused(), HasSubstr("theirs.table is [8, 3] there and idea.table [7, 3] here"));
  save({{"theirs.table", {7, 3}}});
  EXPECT_NO_THROW(found());
}

// A predictor that is still trained saves while one looks at it.
TEST_F(InitialPartTest, IsOfOneCheckpoint) {
  int calls = 0;
  architecture_->parts_of = [&](const ModelConfig&, const ModelConfig&) {
    if (++calls == 1) save({{"theirs.up", {4, 5}}, {"theirs.down", {3, 4}}});
    return names_;
  };
  EXPECT_THAT(refused(), AllOf(HasSubstr("theirs.up is [4, 5] there"), Not(HasSubstr("; "))));
  EXPECT_EQ(calls, 2);
}

TEST_F(InitialPartTest, ManyMisfitsAreCounted) {
  names_.clear();
  std::vector<ParameterSpec> table;
  for (int i = 0; i < 20; ++i) {
    table.push_back({"idea." + std::to_string(i), {2}, Part::kOwn, zeros_init()});
    names_.push_back({"idea." + std::to_string(i), "theirs." + std::to_string(i)});
  }
  architecture_->add_parameters = [&](const ModelConfig&, const DepthPlan&, int64_t) {
    return table;
  };
  EXPECT_THAT(refused(), AllOf(HasSubstr("theirs.15"), HasSubstr("; and 4 more"),
                               Not(HasSubstr("theirs.16"))));
}

// Mistakes of the experiment's own code are said to be such.
TEST_F(InitialPartTest, NamesOfNobodyAreTheExperimentsMistake) {
  const auto mistake = [&](std::vector<PartName> names) {
    names_ = std::move(names);
    return testing::error_of([&] { found(); });
  };
  EXPECT_THAT(mistake({{"idea.none", "theirs.up"}}),
              AllOf(HasSubstr("the experiment idea"), HasSubstr("\"idea.none\"")));
  EXPECT_THAT(mistake({{"idea.up", "theirs.up"}, {"idea.up", "theirs.up"}}),
              HasSubstr("two tensors"));
  EXPECT_THAT(mistake({}), HasSubstr("names no tensors"));
}

TEST_F(InitialPartTest, APresetWithoutOneTakesNone) {
  architecture_->parts_of = {};
  EXPECT_THAT(refused(), AllOf(HasSubstr("test_runner has no part"), HasSubstr("initial_part")));
  config_.model.architecture = nullptr;
  EXPECT_THAT(refused(), HasSubstr("test_runner has no part"));
  config_.model.architecture = architecture_;
  EXPECT_THAT(refusal_of([&] { find_initial_part("no-such-run", config_, 7); }).what(),
              HasSubstr("no-such-run"));
}

}  // namespace
}  // namespace fathom
