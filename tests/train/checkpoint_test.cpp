// Checkpoints: what was saved comes back, and what was not is refused by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "fathom/config/fields.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/safetensors.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

using nlohmann::json;

nlohmann::json values_of(RunConfig config) {
  FieldList list;
  add_fields(list, config);
  json values;
  for (const Field& field : list.all()) values[field.name()] = field.value();
  return values;
}

class CheckpointTest : public TrainTest {
 protected:
  // A finished run's last checkpoint.
  std::string trained(const RunConfig& config = tiny_run(untied_config())) {
    run(config, "run");
    return checkpoint("run", "last");
  }
  std::string trained_once() {
    RunConfig config = tiny_run(untied_config());
    config.training.max_iters = 1;
    return trained(config);
  }
};

TEST_F(CheckpointTest, GivesTheModelBackBitForBit) {
  ModelConfig exits = exit_config(0.3);
  exits.early_exit.layer_widths = {8, 16};
  exits.early_exit.gate_mode = GateMode::kLearned;
  exits.halting.thresholds = {0.3, 0.6};
  exits.supervision.layer_supervision = {"", {0.5, 2}};
  for (const ModelConfig& model : {tied_config(), untied_config(), exits}) {
    RunConfig config = tiny_run(model);
    config.model.backbone.vocab_size = 20;  // padded
    config.optimizer.learning_rate = 1.0 / 3;
    std::filesystem::remove_all(temp_ / "run");
    Trainer t = trainer(config, temp_ / "run");
    t.run({});
    const LoadedModel loaded = load_model(checkpoint("run", "last"), at::kCPU);
    EXPECT_EQ(weights(*loaded.model), weights(t.model()));
    const Tensor tokens = random_tokens({2, 8}, 8, 1);
    const NextTokenModel &ours = *t.model().next_token_model(),
                         &theirs = *loaded.model->next_token_model();
    EXPECT_TRUE(same_bits(theirs.logits(tokens), ours.logits(tokens)));
    const NextToken next = theirs.next_token(tokens, Exit::kFirstConfident);
    const NextToken expected = ours.next_token(tokens, Exit::kFirstConfident);
    EXPECT_TRUE(same_bits(next.scores_NV, expected.scores_NV));
    EXPECT_TRUE(same_bits(next.layer_N, expected.layer_N));
    EXPECT_EQ(values_of(loaded.state.config), values_of(config));
    EXPECT_EQ(loaded.state.config.preset, "tiny");
    EXPECT_EQ(loaded.state.vocab_size, 20);
    EXPECT_EQ(loaded.state.step, 6);
    EXPECT_EQ(loaded.state.cursor, t.state().cursor);
    EXPECT_EQ(loaded.state.cursor["batch"], 12) << "6 steps of 2 sequences";
    EXPECT_EQ(loaded.state.corpus_fingerprint, corpus_->fingerprint());
    ASSERT_NE(loaded.tokenizer, nullptr);
    EXPECT_EQ(loaded.tokenizer->to_json(), corpus_->tokenizer()->to_json());
    for (const Parameter& p : loaded.model->parameters().all())
      EXPECT_TRUE(p.tensor.is_leaf() && p.tensor.requires_grad()) << p.spec.name;
  }
}

TEST_F(CheckpointTest, KeepsTheOptimizersMoments) {
  const std::string folder = trained();
  const SafetensorsFile file = SafetensorsFile::open(folder + "/optimizer.safetensors");
  const LoadedModel loaded = load_model(folder, at::kCPU);
  EXPECT_EQ(file.tensors().size(), 2 * loaded.model->parameters().all().size());
  for (const Parameter& p : loaded.model->parameters().all())
    for (const char* moment : {".m", ".v"}) {
      const TensorInfo* info = file.find(p.spec.name + moment);
      ASSERT_NE(info, nullptr) << p.spec.name << moment;
      EXPECT_EQ(info->shape, p.spec.shape);
      EXPECT_EQ(info->dtype, Dtype::F32);
    }
  EXPECT_NO_THROW(verify_checkpoint(folder));
  EXPECT_EQ(json::parse(slurp(folder + "/state.json")).at("optimizer_steps"), 6);
}

TEST_F(CheckpointTest, NoBestYetStaysSo) {
  Trainer t = trainer(tiny_run());
  Optimizer optimizer(t.model().parameters(), {});
  EXPECT_TRUE(std::isinf(t.state().best_value));
  CheckpointWriter writer(temp_ / "here");
  write_checkpoint(writer, t.state(), t.model().parameters(), optimizer);
  writer.commit();
  EXPECT_TRUE(std::isinf(load_state(temp_ / "here").best_value));
}

// What somebody may have written with care: the manifest fits the files as they are now.
void seal(const std::string& folder) {
  CheckpointWriter writer(folder);
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json"})
    spill(writer.path() + "/" + name, slurp(folder + "/" + name));
  writer.commit();
}

// model.safetensors with its tensors changed.
void rewrite(const std::string& folder,
             const std::function<void(std::vector<TensorView>&)>& change) {
  const std::string path = folder + "/model.safetensors";
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::vector<TensorView> views;
  for (const TensorInfo& t : file.tensors())
    views.push_back({t.name, t.dtype, t.shape, file.bytes(t)});
  change(views);
  write_safetensors(path, views);
  seal(folder);
}

TensorView& view_of(std::vector<TensorView>& views, const std::string& name) {
  for (TensorView& view : views)
    if (view.name == name) return view;
  throw std::runtime_error("no " + name);
}

TEST_F(CheckpointTest, RefusesTensorsThatDoNotFitByName) {
  const std::string folder = trained_once();
  const std::string intact = slurp(folder + "/model.safetensors");
  const auto error_after = [&](const std::function<void(std::vector<TensorView>&)>& change) {
    spill(folder + "/model.safetensors", intact);
    rewrite(folder, change);
    return error_of([&] { load_model(folder, at::kCPU); });
  };
  const std::string missing =
      error_after([](auto& views) { view_of(views, "mlp.1.up.weight").name = "mlp.1.up.wait"; });
  EXPECT_THAT(missing, HasSubstr("mlp.1.up.weight is missing"));
  EXPECT_THAT(missing, HasSubstr(folder));

  EXPECT_THAT(error_after([](auto& views) {
                views.push_back({"mlp.2.up.weight", Dtype::F32, {0}, {}});
              }),
              HasSubstr("mlp.2.up.weight"));
  EXPECT_THAT(
      error_after([](auto& views) {
        view_of(views, "mlp.1.up.weight").shape = {16, 64};
      }),
      ::testing::AllOf(HasSubstr("mlp.1.up.weight is F32 [16, 64]"), HasSubstr("[64, 16]")));
  EXPECT_THAT(
      error_after([](auto& views) { view_of(views, "norm_out.0.bias").dtype = Dtype::I32; }),
      HasSubstr("norm_out.0.bias is I32 [16]"));
  spill(folder + "/model.safetensors", intact.substr(0, intact.size() / 2));
  seal(folder);
  EXPECT_THAT(error_of([&] { load_model(folder, at::kCPU); }), HasSubstr("model.safetensors"));
}

TEST_F(CheckpointTest, RefusesADamagedStateByName) {
  const std::string folder = trained_once();
  const std::string intact = slurp(folder + "/state.json");
  const auto refused = [&](const std::string& text) {
    spill(folder + "/state.json", text);
    seal(folder);
    try {
      load_model(folder, at::kCPU);
    } catch (const Error& error) {
      return std::string(error.what());
    } catch (const std::exception& error) {
      ADD_FAILURE() << "not an Error: " << error.what();
      return std::string();
    }
    ADD_FAILURE() << "accepted: " << text.substr(0, 200);
    return std::string();
  };
  const auto refused_with = [&](const std::function<void(json&)>& change) {
    json state = json::parse(intact);
    change(state);
    return refused(state.dump());
  };
  for (const size_t size : {size_t{0}, size_t{1}, intact.size() / 2, intact.size() - 3})
    EXPECT_THAT(refused(intact.substr(0, size)), HasSubstr("state.json")) << size;
  for (const char* text : {"[]", "7", "null", "{}"})
    EXPECT_THAT(refused(text), HasSubstr("state.json")) << text;

  const json complete = json::parse(intact);
  for (const auto& [key, value] : complete.items()) {
    const std::string name = key;
    if (name == "optimizer_steps") continue;  // the optimiser's own, no model needs it
    if (name != "progress") {                 // which runs of before do not have
      EXPECT_THAT(refused_with([&](json& j) { j.erase(name); }), HasSubstr("state.json")) << name;
    }
    EXPECT_NE(refused_with([&](json& j) { j[name] = json::array({1}); }), "") << name;
  }
  EXPECT_THAT(refused_with([](json& j) { j["format_version"] = 99; }),
              ::testing::AllOf(HasSubstr("format_version"), HasSubstr("99")));
  EXPECT_THAT(refused_with([](json& j) { j["config"]["n_layers"] = 2; }), HasSubstr("n_layers"));
  EXPECT_THAT(refused_with([](json& j) { j["config"]["n_layer"] = "two"; }), HasSubstr("n_layer"));
  EXPECT_THAT(refused_with([](json& j) { j["config"]["n_head"] = 3; }), HasSubstr("n_head = 3"));
  EXPECT_THAT(refused_with([](json& j) { j["step"] = -1; }), HasSubstr("step"));
  EXPECT_THAT(refused_with([](json& j) { j["cursor"]["batch"] = -1; }), HasSubstr("batch"));
  EXPECT_THAT(refused_with([](json& j) {
                j["tokenizer"] = {{"kind", "byte"}};
              }),
              HasSubstr("tokenizer"));  // 256 ids, the table has 8 rows
}

// Sizes that no file backs must not be allocated.
TEST_F(CheckpointTest, RefusesSizesThatItsTensorsDoNotHave) {
  const std::string folder = trained_once();
  const json complete = json::parse(slurp(folder + "/state.json"));
  const auto refused_with = [&](const std::function<void(json&)>& change) {
    json state = complete;
    change(state);
    spill(folder + "/state.json", state.dump());
    seal(folder);
    return error_of([&] { load_model(folder, at::kCPU); });
  };
  EXPECT_THAT(refused_with([](json& j) { j["vocab_size"] = int64_t{1} << 50; }),
              HasSubstr("token_table.0.weight"));
  EXPECT_THAT(refused_with([](json& j) { j["vocab_size"] = -8; }), HasSubstr("vocab_size"));
  EXPECT_THAT(refused_with([](json& j) { j["config"]["block_size"] = int64_t{1} << 24; }),
              HasSubstr("position_table.weight"));
  EXPECT_THAT(refused_with([](json& j) { j["config"]["n_embd"] = int64_t{1} << 20; }),
              HasSubstr("token_table.0.weight"));
  EXPECT_THAT(refused_with([](json& j) { j["config"]["n_layer"] = 1000; }), HasSubstr("n_layer"));
}

// One layer, run so often, has fewer tensors than the model has layers.
TEST_F(CheckpointTest, ASharedLayerMayRunMoreOftenThanThereAreTensors) {
  RunConfig config = tiny_run(untied_config());
  config.model.backbone.n_layer = 30;
  config.model.wiring.share.choice = "one";
  config.training.max_iters = 1;
  const std::string folder = trained(config);
  const LoadedModel loaded = load_model(folder, at::kCPU);
  EXPECT_LT(loaded.model->parameters().all().size(), 30U);
  EXPECT_EQ(loaded.state.config.model.backbone.n_layer, 30);
}

TEST_F(CheckpointTest, AnInitialModelGivesItsWeightsAlone) {
  run(tiny_run(untied_config()), "run");
  const std::string bytes = slurp(checkpoint("run", "last") + "/model.safetensors");
  RunConfig config = tiny_run(untied_config());
  config.training.seed = 7;
  Trainer t = trainer(config, temp_ / "next");
  t.start_from(checkpoint("run", "last"));
  EXPECT_EQ(weights(t.model()), weights(*load_model(checkpoint("run", "last"), at::kCPU).model));
  EXPECT_EQ(t.optimizer().steps(), 0);
  EXPECT_EQ(t.state().step, 0);
  t.run({});
  EXPECT_EQ(slurp(checkpoint("run", "last") + "/model.safetensors"), bytes) << "it is only read";
  Trainer other = trainer(tiny_run(), temp_ / "other");
  EXPECT_THAT(error_of([&] { other.start_from(checkpoint("run", "last")); }),
              HasSubstr("the model has no"));
}

// Some weights of another model, under other names: those have their bits, and all others are as
// they were.
TEST_F(CheckpointTest, APartIsLaidOverTheWeightsThatAreNamed) {
  run(tiny_run(untied_config()), "run");
  const Snapshot theirs = weights(*load_model(checkpoint("run", "last"), at::kCPU).model);
  RunConfig config = tiny_run(untied_config());
  config.training.seed = 7;
  config.model.backbone.n_layer = 3;
  Trainer t = trainer(config, temp_ / "next");
  const Snapshot before = weights(t.model());
  const TensorNames names = {{"mlp.2.up.weight", "mlp.0.up.weight"},
                             {"attention.1.out.bias", "attention.1.out.bias"}};
  const TakenPart taken = t.take_part(checkpoint("run", "last"), names);
  EXPECT_EQ(taken.tensors, 2);
  EXPECT_EQ(taken.numbers, 64 * 16 + 16);
  EXPECT_EQ(taken.checksum.size(), 16U);
  for (const auto& [name, values] : weights(t.model())) {
    const bool first = name == names[0].first, second = name == names[1].first;
    const std::string of = first ? names[0].second : second ? names[1].second : "";
    EXPECT_EQ(values, of.empty() ? before.at(name) : theirs.at(of)) << name;
  }
  // The checksum is of the numbers, in the order of the names.
  Trainer again = trainer(config);
  EXPECT_EQ(again.take_part(checkpoint("run", "last"), names).checksum, taken.checksum);
  EXPECT_NE(again.take_part(checkpoint("run", "last"), {names[0]}).checksum, taken.checksum);
  EXPECT_NE(again.take_part(checkpoint("run", "last"), {names[1], names[0]}).checksum,
            taken.checksum);
  // What does not fit changes nothing.
  const Snapshot as_before = weights(again.model());
  EXPECT_THAT(error_of([&] {
                again.take_part(checkpoint("run", "last"),
                                {names[1], {"mlp.2.up.weight", "mlp.0.down.weight"}});
              }),
              HasSubstr("mlp.0.down.weight is F32 [16, 64], the model needs F32 [64, 16]"));
  EXPECT_EQ(weights(again.model()), as_before);
}

TEST_F(CheckpointTest, AMissingOneIsSaid) {
  EXPECT_THAT(error_of([&] { load_model(temp_ / "nowhere", at::kCPU); }), HasSubstr("nowhere"));
}

}  // namespace
}  // namespace fathom::testing
