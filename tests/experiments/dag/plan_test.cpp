// The shipped training plan, over the preset that its page names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "experiments/dag/settings.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/freeze.h"
#include "fathom/train/recipe/numbers_options.h"
#include "fathom/train/recipe/parameter_groups.h"
#include "fathom/train/recipe/stage_runs.h"
#include "fathom/train/recipe/training_plan.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using testing::resolved;

// "norm_mid.9" of "norm_mid.9.weight".
std::string name_of_part(const std::string& name) {
  return name.substr(0, name.find('.', name.find('.') + 1));
}

TEST(DagPlan, TrainsThePredictorAndThenTheModel) {
  std::vector<std::string> notices;
  const std::vector<StageRun> stages =
      resolve_plan(find_plan("predictor_then_model", "dag_small_stack").plan,
                   resolved("dag_small_stack").config, notices);
  EXPECT_TRUE(notices.empty()) << notices.front();
  ASSERT_EQ(stages.size(), 2u);
  const RunConfig &first = stages[0].config, &second = stages[1].config;
  EXPECT_EQ(dag::settings_of(first.model.own).lm_loss_weight, 0);
  EXPECT_EQ(first.data.numbers.stream_share, 0);
  const RunConfig predictor = resolved("dag_predictor_small").config;
  for (const char* weight : {"sign_loss_weight", "log_loss_weight", "op_loss_weight"})
    EXPECT_EQ(first.model.own.number(weight), predictor.model.own.number(weight)) << weight;
  EXPECT_EQ(first.data.batch_size, predictor.data.batch_size);
  EXPECT_EQ(first.schedule.min_lr, predictor.schedule.min_lr);
  EXPECT_EQ(dag::settings_of(second.model.own).lm_loss_weight, 1);
  EXPECT_EQ(second.data.numbers.stream_share, 0.5);
  const std::vector<ParameterSpec> table =
      parameter_table(first.model, stages[0].corpora[0].vocab_size());
  const std::vector<bool> frozen = frozen_parameters(first.optimizer, table);
  // What results are folded back by, and nothing that programs are made of.
  std::set<std::string> names;
  for (size_t i = 0; i < table.size(); ++i)
    if (frozen[i]) names.insert(name_of_part(table[i].name));
  EXPECT_THAT(names,
              ::testing::ElementsAre("attention.7", "dag.embed", "dag.gate", "dag.gate_dag",
                                     "dag.gate_original", "mlp.6", "norm_mid.10", "norm_mid.9"));
  for (const bool is_frozen : frozen_parameters(second.optimizer, table)) EXPECT_FALSE(is_frozen);
}

// First all that a predictor of the same text has, by its recipe, then all else.
TEST(DagPlan, TrainsThePredictorAndThenTheBlocksBehindIt) {
  std::vector<std::string> notices;
  const RunConfig model = resolved("dag_small_lines").config,
                  reader = resolved("dag_predictor_lines").config;
  const std::vector<StageRun> stages =
      resolve_plan(find_plan("predictor_then_blocks", "dag_small_lines").plan, model, notices);
  EXPECT_TRUE(notices.empty()) << notices.front();
  ASSERT_EQ(stages.size(), 2u);
  const RunConfig &first = stages[0].config, &second = stages[1].config;
  EXPECT_EQ(dag::settings_of(first.model.own).lm_loss_weight, 0);
  for (const char* weight : {"sign_loss_weight", "log_loss_weight", "op_loss_weight"})
    EXPECT_EQ(first.model.own.number(weight), reader.model.own.number(weight)) << weight;
  EXPECT_EQ(first.data.batch_size, reader.data.batch_size);
  EXPECT_EQ(first.schedule.min_lr, reader.schedule.min_lr);
  EXPECT_EQ(stages[0].budget.amount, reader.training.max_iters);
  const auto numbers = [](const RunConfig& config) { return fingerprint_of(numbers_of(config)); };
  EXPECT_EQ(numbers(first), numbers(reader));
  EXPECT_EQ(numbers(second), numbers(reader));
  const std::vector<ParameterSpec> table =
      parameter_table(first.model, stages[0].corpora[0].vocab_size());
  const std::vector<ParameterSetting> early = parameter_settings(first.optimizer, table),
                                      late = parameter_settings(second.optimizer, table);
  std::set<std::string> readers;
  for (const PartName& part : model.model.architecture->parts_of(model.model, reader.model))
    readers.insert(part.ours);
  for (size_t i = 0; i < table.size(); ++i) {
    const bool is_readers = readers.count(table[i].name) > 0;
    EXPECT_EQ(early[i].frozen, !is_readers) << table[i].name;
    EXPECT_EQ(late[i].frozen, is_readers) << table[i].name;
  }
}

}  // namespace
}  // namespace fathom
