// A predictor's weights as a part of a full model: the same hidden states, the same programs.
#include <gmock/gmock.h>

#include <algorithm>
#include <iterator>

#include "experiments/dag/dag_config.h"
#include "experiments/dag/records.h"
#include "fathom/base/text.h"
#include "model/walking.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using namespace testing;

constexpr int64_t kTransferVocab = 11;

std::vector<PartName> parts_between(const ModelConfig& model, const ModelConfig& predictor) {
  return model.architecture->parts_of(model, predictor);
}

void load_parts(Model& model, const Model& predictor, const std::vector<PartName>& parts) {
  const at::NoGradGuard no_grad;
  for (const PartName& part : parts)
    model.parameters().at(part.ours).copy_(predictor.parameters().at(part.theirs));
}

// What F.dag shows of these hidden states at the door of the DAG's layer.
std::map<std::string, Tensor> programs_of(const Model& model, const Batch& batch,
                                          const Tensor& r_RC) {
  const std::vector<const char*> names = {dag::kSign, dag::kLog, dag::kOp};
  Kept kept;
  for (const char* name : names) kept.keep(dag::seen_name(name));
  const DepthWalk& w = depth(model).walk();
  const DepthProgram& program = depth(model).program();
  WalkOptions options;
  options.observe = kept.observer();
  options.read = false;
  WalkState state = w.begin(std::make_shared<const Rows>(batch), options);
  state.travel.carry = {r_RC, {}, {}};
  state.next = {program.steps.size() - 1, 0};
  w.advance(program, state, program.steps.size(), {}, options, nullptr);
  std::map<std::string, Tensor> seen;
  for (const char* name : names)
    seen[name] = kept.at(program.steps.back().index, dag::seen_name(name));
  return seen;
}

TEST(DagTransfer, LeavesThePredictorsProgramsAsTheyWere) {
  const at::NoGradGuard no_grad;
  const Batch batch = batch_of(random_tokens({3, 6}, kTransferVocab, 1), {});
  const Tensor r_RC = random_normal({18, 8}, 2);
  for (const char* bias : {"False", "True"}) {
    SCOPED_TRACE(bias);
    DagKeys keys = {{"dag_executor", "stack"}, {"bias", bias}, {"dag_ops", "add, identity"}};
    const ModelConfig small = dag_config(keys, /*predictor=*/true);
    keys.insert(
        keys.end(),
        {{"n_layer", "3"}, {"dag_mix", "gate"}, {"layer_heads", "True"}, {"tie_head", "False"}});
    const ModelConfig full = dag_config(keys);
    const auto predictor = make_model(small, kTransferVocab, 3, at::kCPU, at::kDouble);
    const auto model = make_model(full, kTransferVocab, 4, at::kCPU, at::kDouble);
    for (const Parameter& p : predictor->parameters().all())
      if (p.spec.name.rfind("norm_out", 0) != 0)  // which is the model's own
        Tensor(p.tensor).add_(random_normal(p.tensor.sizes(), 5), 0.3);
    const auto before = programs_of(*predictor, batch, r_RC);
    EXPECT_FALSE(at::equal(programs_of(*model, batch, r_RC).at(dag::kOp), before.at(dag::kOp)));
    load_parts(*model, *predictor, parts_between(full, small));
    const auto after = programs_of(*model, batch, r_RC);
    for (const auto& [name, x] : before) EXPECT_TRUE(at::equal(after.at(name), x)) << name;
  }
}

// What F.dag shows of a text.
std::map<std::string, Tensor> programs_of_text(const Model& model, const Batch& batch) {
  Kept kept;
  const std::vector<const char*> names = {dag::kSign, dag::kLog, dag::kOp};
  for (const char* name : names) kept.keep(dag::seen_name(name));
  const DepthProgram& program = depth(model).program();
  WalkOptions options;
  options.observe = kept.observer();
  options.read = false;
  depth(model).walk().run(program, batch, options);
  std::map<std::string, Tensor> seen;
  for (const StepSpec& step : program.steps)
    for (const char* name : names)
      if (const Tensor x = kept.at(step.index, dag::seen_name(name)); x.defined()) seen[name] = x;
  return seen;
}

// With its blocks, their norm and its tables the same text is the same programs.
TEST(DagTransfer, TakesTheTrunkThatProgramsAreReadFrom) {
  const at::NoGradGuard no_grad;
  const Batch batch = batch_of(random_tokens({3, 6}, kTransferVocab, 1), {});
  for (const char* adapter : {"False", "True"}) {
    SCOPED_TRACE(adapter);
    const ModelConfig small = dag_config({{"bias", "True"}}, /*predictor=*/true);
    const ModelConfig full = dag_config({{"dag_executor", "stack"},
                                         {"bias", "True"},
                                         {"n_layer", "4"},
                                         {"dag_after", "2"},
                                         {"dag_adapter", adapter},
                                         {"predictor_trunk", "True"}});
    const auto predictor = make_model(small, kTransferVocab, 3, at::kCPU, at::kDouble);
    const auto model = make_model(full, kTransferVocab, 4, at::kCPU, at::kDouble);
    for (const Parameter& p : predictor->parameters().all())
      Tensor(p.tensor).add_(random_normal(p.tensor.sizes(), 5), 0.3);
    const auto before = programs_of_text(*predictor, batch);
    ASSERT_EQ(before.size(), 3U);
    const std::vector<PartName> parts = parts_between(full, small);
    EXPECT_EQ(parts.size(), predictor->parameters().all().size()) << "all that it has";
    load_parts(*model, *predictor, parts);
    const auto after = programs_of_text(*model, batch);
    const bool same = std::string(adapter) == "False";
    for (const auto& [name, x] : before)
      EXPECT_EQ(at::equal(after.at(name), x), same) << name << ": a norm of its own is in between";
  }
}

TEST(DagTransfer, TakesATrunkOfAsManyBlocksAlone) {
  const ModelConfig small = dag_config({}, /*predictor=*/true);
  const auto parts = [&](DagKeys keys) {
    keys.insert(keys.end(), {{"dag_executor", "stack"}, {"n_layer", "4"}});
    return parts_between(dag_config(keys), small).size();
  };
  const Error error = refusal_of([&] { parts({{"dag_after", "3"}, {"predictor_trunk", "True"}}); });
  EXPECT_THAT(error.what(), HasSubstr("come after 2 blocks, this model's after 3"));
  EXPECT_THAT(error.hint(), HasSubstr("--dag_after=2"));
  EXPECT_EQ(parts({{"predictor_trunk", "True"}}), parts({})) << "without dag_after it does nothing";
  // Another trunk, whose weights may have the same names.
  for (const DagKeys::value_type& key : DagKeys{{"share", "[0, 0, 1, 2]"},
                                                {"positions", "none"},
                                                {"wiring", "r = r + A(n) + M(n)"},
                                                {"block_style", "sandwich"},
                                                {"norm_kind", "rms"},
                                                {"attn_scores", "sigmoid"},
                                                {"mlp_hidden", "2"},
                                                {"mlp_gated", "True"},
                                                {"scale_embeddings", "True"},
                                                {"layer_contexts", "[2, 2, 6, 6]"},
                                                {"loop_groups", "[[0, 1]]"},
                                                {"loop_groups", "[[1, 2]]"}}) {
    SCOPED_TRACE(key.first + " = " + key.second);
    const Error other = refusal_of([&] {
      parts({{"dag_after", "2"}, {"predictor_trunk", "True"}, key});
    });
    EXPECT_THAT(other.what(), HasSubstr("predictor_trunk = true, and"));
  }
  // What is behind the programs, or above them, is the model's affair.
  const size_t all = parts({{"dag_after", "2"}, {"predictor_trunk", "True"}});
  for (const DagKeys::value_type& key : DagKeys{{"tie_head", "False"},
                                                {"halt_rule", "max"},
                                                {"layer_supervision", "all"},
                                                {"loop_groups", "[[3]]"},
                                                {"dropout", "0.1"}})
    EXPECT_EQ(parts({{"dag_after", "2"}, {"predictor_trunk", "True"}, key}), all) << key.first;
  EXPECT_EQ(parts({{"dag_after", "2"}, {"dag_take_tables", "True"}}), parts({}) + 2);
}

// But for tables and the norm behind its blocks, all that makes programs is taken.
TEST(DagTransfer, TakesAllThatMakesPrograms) {
  const ModelConfig small = dag_config({}, /*predictor=*/true);
  const ModelConfig full = dag_config({{"dag_executor", "stack"}, {"n_layer", "5"}});
  const std::vector<PartName> parts = parts_between(full, small);
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const ParameterSpec& spec : parameter_table(full, kTransferVocab))
    shapes[spec.name] = spec.shape;
  int64_t taken = 0;
  std::set<std::string> ours;
  for (const ParameterSpec& spec : parameter_table(small, kTransferVocab))
    for (const PartName& part : parts) {
      if (part.theirs != spec.name) continue;
      EXPECT_EQ(shapes.at(part.ours), spec.shape) << part.ours;
      taken += spec.count();
      EXPECT_TRUE(ours.insert(part.ours).second) << part.ours;
    }
  EXPECT_EQ(ours.size(), parts.size());
  const int64_t H = 8, D = 3, S = 4, N = 5;
  EXPECT_EQ(taken,
            2 * (12 * H * H + 2 * H) + 4 * H * H + H + 2 * (H * H + H) + (H + 1) * (2 * S + D * N));
}

TEST(DagTransfer, TakesTablesWhereThatIsAsked) {
  const ModelConfig small = dag_config({}, /*predictor=*/true);
  const auto names = [&](const DagKeys& more) {
    DagKeys keys = {{"dag_executor", "stack"}};
    keys.insert(keys.end(), more.begin(), more.end());
    std::set<std::string> taken;
    for (const PartName& part : parts_between(dag_config(keys), small)) taken.insert(part.ours);
    return taken;
  };
  const std::set<std::string> without = names({}), with = names({{"dag_take_tables", "True"}});
  std::vector<std::string> more;
  std::set_difference(with.begin(), with.end(), without.begin(), without.end(),
                      std::back_inserter(more));
  EXPECT_THAT(more, ::testing::ElementsAre("position_table.weight", "token_table.0.weight"));
  EXPECT_EQ(with.size(), without.size() + 2);
}

// All weights fit, and programs are others: shares of operations by another temperature.
TEST(DagTransfer, TellsWhereItsChoicesBecomeOthers) {
  const ModelConfig small = dag_config({{"softmax_temperature", "2"}}, /*predictor=*/true);
  const auto told = [&](DagKeys keys) {
    keys.push_back({"dag_executor", "stack"});
    const ModelConfig full = dag_config(keys);
    return join(full.architecture->tells_of_part(full, small), "; ");
  };
  EXPECT_EQ(told({{"softmax_temperature", "2"}}), "");
  EXPECT_EQ(told({}),
            "the predictor chose operations by --dag_select=soft --softmax_temperature=2, and this "
            "model chooses by --dag_select=soft --softmax_temperature=20: its programs are not the "
            "predictor's, which --dag_select=soft --softmax_temperature=2 keeps");
  EXPECT_THAT(told({{"dag_select", "gumbel_st"}}),
              HasSubstr("--dag_select=gumbel_st --gumbel_temperature_end=2: its"));
}

// The README's table of which predictor feeds which model.
TEST(DagTransfer, PresetsThatFeedOneAnotherHaveTheSamePrograms) {
  struct Pair {
    const char *predictor, *model;
    testing::Settings typed;
  };
  for (const Pair& pair :
       {Pair{"dag_predictor_small", "dag_small_stack", {}},
        {"dag_predictor_small_d4", "dag_small_stack", {{"dag_depth", "4"}}},
        {"dag_predictor_lines", "dag_small_lines", {}},
        {"dag_predictor", "dag_stack", {{"n_embd", "32"}, {"n_head", "1"}}},
        {"dag_predictor_readme", "dag_stack", {{"n_embd", "32"}, {"n_head", "1"}}},
        {"dag_predictor_cloud", "dag_stack", {{"dag_depth", "6"}}}}) {
    SCOPED_TRACE(pair.predictor);
    const ModelConfig full = resolved(pair.model, pair.typed).config.model,
                      small = resolved(pair.predictor).config.model;
    EXPECT_FALSE(parts_between(full, small).empty());
    EXPECT_EQ(join(full.architecture->tells_of_part(full, small), "; "), "");
  }
}

TEST(DagTransfer, IsRefusedWhereProgramsDiffer) {
  const ModelConfig small = dag_config({}, /*predictor=*/true);
  const auto refused = [&](const DagKeys& keys) {
    try {
      parts_between(dag_config(keys), small);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("nothing");
  };
  const DagKeys::value_type stack = {"dag_executor", "stack"};
  EXPECT_EQ(refused({stack}), "nothing");
  EXPECT_THAT(refused({}), HasSubstr("dag_executor = stack"));
  EXPECT_THAT(refused({}), HasSubstr("dag_executor = scratch"));
  EXPECT_EQ(
      refused({stack, {"dag_depth", "4"}, {"n_embd", "16"}}),
      "the predictor has dag_depth = 3, n_embd = 8, and the model dag_depth = 4, n_embd = 16");
  EXPECT_THAT(refused({stack, {"bias", "True"}}), HasSubstr("bias = false"));
  EXPECT_THAT(refused({stack, {"dag_ops", "add"}}), HasSubstr("dag_ops = \"add\""));
  EXPECT_THAT(refused({stack, {"n_head", "4"}}), HasSubstr("n_head = 4"));
  EXPECT_THAT(refused({stack, {"norm_eps", "1e-4"}}), HasSubstr("norm_eps = 0.0001"));
  EXPECT_THROW(parts_between(dag_config({stack}), dag_config({stack})), Error);
}

}  // namespace
}  // namespace fathom
