// A plain model's weights in one that has programs besides: --initial_model.
#include <gmock/gmock.h>

#include "experiments/dag/dag_config.h"
#include "fathom/model/next_token_model.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

const DagKeys kOfStack = {{"dag_executor", "stack"}};

class DagBeginning : public TrainTest {
 protected:
  static std::vector<std::string> anew(const ModelConfig& ours, const ModelConfig& theirs) {
    return ours.architecture->begins_anew(ours, theirs);
  }
  static std::vector<std::string> names(const ModelConfig& config) {
    std::vector<std::string> all;
    for (const ParameterSpec& spec : parameter_table(config, 8)) all.push_back(spec.name);
    return all;
  }
};

ModelConfig plain_config(const DagKeys& keys = {}) {
  ModelConfig config = dag_config(keys);
  config.own.integer("dag_depth", 0) = 0;
  config.architecture.reset();
  return config;
}

TEST_F(DagBeginning, APlainModelsWeightsAreAllTaken) {
  for (const bool has_slots : {false, true}) {
    const ModelConfig plain = has_slots ? dag_config({{"dag_depth", "0"}}) : plain_config();
    const std::string run = has_slots ? "slots" : "plain";
    Trainer taught = trainer(tiny_run(plain), temp_ / run);
    taught.run({});
    for (DagKeys keys : {DagKeys(), kOfStack, DagKeys{{"dag_after", "1"}}}) {
      SCOPED_TRACE(keys.empty() ? "scratch" : keys.back().first);
      keys.push_back({"dag_scale", "0"});
      const ModelConfig config = dag_config(keys);
      Trainer t = trainer(tiny_run(config));
      const Snapshot before = weights(t.model());
      const std::vector<std::string> begin = anew(config, plain);
      const std::vector<std::string> missing =
          t.start_from(checkpoint(run, "last"), {begin.begin(), begin.end()});
      EXPECT_THAT(missing, ::testing::UnorderedElementsAreArray(begin));
      // Each tensor is the plain model's where that has it, and as it was where not.
      const Snapshot after = weights(t.model()), theirs = weights(taught.model());
      EXPECT_EQ(after.size(), theirs.size() + missing.size());
      for (const auto& [name, values] : after) {
        const auto taken = theirs.find(name);
        EXPECT_EQ(values, taken == theirs.end() ? before.at(name) : taken->second) << name;
      }
      const at::NoGradGuard no_grad;
      const Tensor tokens_BT = random_tokens({3, 6}, 8, 1);
      const auto logits = [&](Trainer& of) {
        return of.model().next_token_model()->logits(tokens_BT);
      };
      EXPECT_TRUE(at::equal(logits(t), logits(taught)));
    }
  }
}

// What begins anew is what only the DAG has: of its layer all but the norm at its door.
TEST_F(DagBeginning, ThatOfTheDagBeginsAnew) {
  const ModelConfig config = dag_config(kOfStack);
  const std::vector<std::string> begin = anew(config, plain_config());
  EXPECT_EQ(begin.size() + names(plain_config()).size(), names(config).size());
  EXPECT_THAT(begin, ::testing::Contains("attention.2.qkv.weight"));
  EXPECT_THAT(begin, ::testing::Contains("dag.scale.weight"));
  for (const std::string& name : names(plain_config()))
    EXPECT_THAT(begin, ::testing::Not(::testing::Contains(name)));
  EXPECT_THAT(anew(config, config), ::testing::IsEmpty());
  EXPECT_THAT(anew(dag_config({{"dag_depth", "0"}}), plain_config()), ::testing::IsEmpty());
  // Keys that say the same without a DAG.
  DagKeys beside = kOfStack;
  beside.insert(beside.end(), {{"max_dag_depth", "3"}, {"freeze_gpt", "True"}});
  EXPECT_EQ(anew(dag_config(beside), plain_config()), begin);
}

TEST_F(DagBeginning, OfOtherModelsItIsRefusedWithWhatToDo) {
  const ModelConfig config = dag_config(kOfStack);
  const auto refused = [&](const ModelConfig& theirs) {
    return caught([&] { anew(config, theirs); });
  };
  // A third block's attention has the name of the DAG's first one.
  const Error deeper = refused(plain_config({{"n_layer", "3"}}));
  EXPECT_THAT(deeper.what(), HasSubstr("initial_model has attention.2."));
  EXPECT_THAT(deeper.hint(), HasSubstr("n_layer"));
  EXPECT_THAT(refused(plain_config({{"n_layer", "1"}})).what(),
              HasSubstr("initial_model has no attention.1."));
  const Error predictor = refused(dag_config({}, /*predictor=*/true));
  EXPECT_THAT(predictor.hint(), HasSubstr("--initial_part"));
  // Of another executor, and of another width, when its tensors are looked at.
  for (const ModelConfig& theirs : {dag_config(), plain_config({{"n_embd", "16"}})}) {
    const std::string run = theirs.architecture == nullptr ? "wide" : "list";
    Trainer taught = trainer(tiny_run(theirs), temp_ / run);
    taught.run({});
    const std::vector<std::string> begin = anew(config, theirs);
    Trainer t = trainer(tiny_run(config));
    const Error e = caught([&] {
      t.start_from(checkpoint(run, "last"), {begin.begin(), begin.end()});
    });
    EXPECT_THAT(e.hint(), HasSubstr("`fathom describe` of both")) << e.what();
  }
}

}  // namespace
}  // namespace fathom::testing
