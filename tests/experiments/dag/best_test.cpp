// Which checkpoint is the best one where the next token's loss is not trained.
#include <gmock/gmock.h>

#include "experiments/dag/dag_config.h"
#include "fathom/train/recipe/evaluations.h"
#include "fathom/train/recipe/numbers_options.h"
#include "recipe/config_testing.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

class DagBest : public TrainTest {
 protected:
  // On examples of one operation.
  static StageRun stage(const std::string& name, const char* lm_loss_weight) {
    StageRun run;
    run.name = name;
    run.config = tiny_run(dag_config({{"dag_executor", "stack"},
                                      {"dag_depth", "1"},
                                      {"block_size", "32"},
                                      {"lm_loss_weight", lm_loss_weight}}));
    run.config.data.dataset = kNumbers;
    run.config.data.numbers.english_rate = 0;
    run.config.training.max_iters = 6;
    run.budget = {Budget::Unit::kSteps, 6};
    run.corpora = {open_corpus(kNumbers, run.config)};
    return run;
  }
};

TEST_F(DagBest, IsOfTheLeastObjectiveUntilTheNextTokenIsTrained) {
  RunPlan plan;
  plan.stages = {stage("programs", "0"), stage("model", "1")};
  plan.written = std::make_shared<nlohmann::json>(nlohmann::json{{"plan", "of two"}});
  std::filesystem::create_directories(temp_ / "run/checkpoints");
  Trainer t(plan, plan.stages[0].corpora[0].vocab_size(), temp_ / "run");
  History history;
  t.run(history.events());
  // At 0, 3 and 6 of the first stage, then of the second.
  ASSERT_EQ(history.evaluated_at(), (std::vector<int64_t>{0, 3, 6, 9, 12}));
  double least = 1e30;
  for (size_t i = 0; i < 3; ++i) {
    const EvalReport& r = history.evaluations[i];
    EXPECT_EQ(r.best_metric, "eval/val/objective");
    const double objective = r.of("val").objective.value();
    EXPECT_NE(objective, r.of("val").loss);
    least = std::min(least, objective);
    EXPECT_EQ(r.best_value, least);
    EXPECT_EQ(r.best, objective == least);
  }
  EXPECT_EQ(history.evaluations[3].best_metric, "eval/val/loss");
  EXPECT_EQ(history.evaluations[3].best_value, history.evaluations[3].of("val").loss)
      << "the objective of before is no loss to beat";
}

TEST_F(DagBest, IsByTheLossWhereThatIsTrainedOrAllThereIs) {
  const auto decides = [](const DagKeys& keys, bool predictor = false) {
    DagKeys all = {{"dag_executor", "stack"}};
    all.insert(all.end(), keys.begin(), keys.end());
    return objective_decides(dag_config(all, predictor));
  };
  EXPECT_TRUE(decides({{"lm_loss_weight", "0"}}));
  EXPECT_FALSE(decides({}));
  EXPECT_FALSE(decides({}, /*predictor=*/true)) << "whose loss the objective is";
  EXPECT_FALSE(objective_decides(tied_config()));
}

}  // namespace
}  // namespace fathom::testing
