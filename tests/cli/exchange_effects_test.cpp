// Every option of `fathom import` and `fathom export` changes something.
#include <nlohmann/json.hpp>

#include "cli/effects_testing.h"
#include "exchange/golden_model.h"
#include "fathom/track/run_store.h"
#include "fathom/train/recipe/run_state.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::Words;
namespace fs = std::filesystem;

class ExchangeEffects : public testing::EffectsTest {
 protected:
  void export_effects();
  void exchange_effects();
};

void ExchangeEffects::export_effects() {
  const auto make_run = [&] {
    fs::create_directories(place_.path("runs/old/checkpoints"));
    RunStore store(run_store_path());
    store.delete_run("old");
    const std::vector<MetricValue> values = {{"loss", 1}};
    store.add(store.create_run("old", "e", ""), 1, values);
  };
  effects_["export metrics"] = [=] {
    make_run();
    EXPECT_FALSE(json::accept(run({"export", "old", "--metrics=csv"}).out));
    EXPECT_TRUE(json::accept(run({"export", "old", "--metrics=jsonl"}).out));
  };
  effects_["export output"] = [=] {
    make_run();
    EXPECT_EQ(run({"export", "old", "--metrics=csv", "--output=a.csv"}).exit_code, 0);
    EXPECT_EQ(testing::slurp(place_.path("a.csv")), "step,loss\n1,1\n");
  };
}

// What comes in and goes out: exchange/hugging_face_test.cpp.
void ExchangeEffects::exchange_effects() {
  const std::string model = testing::golden_model();
  const auto imported = [=](Words more) {
    more.insert(more.begin(), {"import", model, "--run_name=in"});
    return run(more).exit_code;
  };
  const auto state = [=](const std::string& name) {
    return load_state(place_.path("runs/" + name + "/checkpoints/last"));
  };
  effects_["import run_name"] = [=] {
    EXPECT_EQ(run({"import", model}).exit_code, 0);
    EXPECT_EQ(state("hugging_face").vocab_size, 300);
    EXPECT_EQ(run({"import", model, "--run_name=mine"}).exit_code, 0);
    EXPECT_EQ(state("mine").vocab_size, 300);
  };
  effects_["import force"] = [=] {
    fs::remove_all(place_.path("runs/in"));
    EXPECT_EQ(imported({}), 0);
    EXPECT_EQ(imported({}), 2);
    EXPECT_EQ(imported({"--force"}), 0);
  };
  effects_["import exp"] = [=] {
    EXPECT_EQ(imported({"--force", "--exp=quickstart"}), 0);
    EXPECT_EQ(state("in").config.training.max_iters, 2000);
    EXPECT_EQ(imported({"--force", "--exp=papingo"}), 2);
  };
  effects_["import dataset"] = [=] {
    EXPECT_EQ(imported({"--force", "--dataset=rain"}), 0);
    EXPECT_EQ(state("in").config.data.dataset, "rain");
  };
  effects_["export hf"] = [=] {
    EXPECT_EQ(imported({"--force"}), 0);
    EXPECT_EQ(run({"export", "in", "--hf=out"}).exit_code, 0);
    EXPECT_TRUE(
        testing::same_bytes(place_.path("out/model.safetensors"), model + "/model.safetensors"));
  };
  effects_["export force"] = [=] {
    EXPECT_EQ(imported({"--force"}), 0);
    EXPECT_EQ(run({"export", "in", "--hf=out2"}).exit_code, 0);
    EXPECT_EQ(run({"export", "in", "--hf=out2"}).exit_code, 2);
    EXPECT_EQ(run({"export", "in", "--hf=out2", "--force"}).exit_code, 0);
    EXPECT_EQ(run({"export", "in", "--metrics=csv", "--force"}).exit_code, 2);
  };
  effects_["export checkpoint"] = [=] {
    EXPECT_EQ(imported({"--force"}), 0);
    EXPECT_THAT(run({"export", "in", "--hf=out3", "--checkpoint=best"}).err,
                HasSubstr("has no checkpoint best"));
    EXPECT_EQ(run({"export", "in", "--hf=out3", "--checkpoint=last"}).exit_code, 0);
    EXPECT_EQ(run({"export", "in", "--metrics=csv", "--checkpoint=last"}).exit_code, 2);
  };
}

TEST_F(ExchangeEffects, EachOptionChangesSomething) {
  export_effects();
  exchange_effects();
  expect_all([](const std::string& verb) { return verb == "import" || verb == "export"; });
}

}  // namespace
}  // namespace fathom
