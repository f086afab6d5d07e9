// Objectives as text: what they are read as, how they print, at which layers, and what is refused.
#include "fathom/model/spec/objective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "config/config_testing.h"
#include "fathom/model/spec/model_config.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::refusal_of;

std::vector<double> layer_weights_of(const std::string& attributes, int64_t n_layer = 4) {
  return supervision_of("loss = ce [" + attributes + "]", n_layer).at(0).weights;
}

TEST(Objective, EveryNamedOnePrintsAsItIsWritten) {
  std::set<std::string> names, hashes;
  for (const NamedObjective& named : named_objectives()) {
    SCOPED_TRACE(named.name);
    const Objective objective = parse_objective(named.name);
    EXPECT_EQ(to_text(parse_objective(to_text(objective))), to_text(objective));
    EXPECT_EQ(objective_hash(parse_objective(named.text)), objective_hash(objective));
    EXPECT_EQ(objective_hash(objective).size(), 16U);
    EXPECT_TRUE(names.insert(named.name).second);
    EXPECT_TRUE(hashes.insert(objective_hash(objective)).second) << "two names for one objective";
    EXPECT_EQ(table_of(objective, 3).size(), objective.terms.size());
    EXPECT_EQ(table_of(objective, 1).size(), objective.terms.size()) << "of one layer";
  }
  for (const char* name :
       {"last",         "all",       "skip_easy",    "ponder",         "conf_1",
        "conf_2",       "conf_3",    "conf_4",       "conf_5",         "conf_5_text",
        "conf_6_1",     "conf_6_2",  "prevnext_dot", "prevnext_token", "expected",
        "last_penalty", "no_target", "agreement",    "reward_sure",    "carry_penalty"})
    EXPECT_EQ(names.count(name), 1U) << name;
}

TEST(Objective, PrintsItselfCanonically) {
  const auto printed = [](const char* text) { return to_text(parse_objective(text)); };
  EXPECT_EQ(printed("last"), "loss = ce [layers=last]");
  EXPECT_EQ(printed("loss=ce"), "loss = ce [layers=last]");
  EXPECT_EQ(printed(" last "), "loss = ce [layers=last]");
  EXPECT_EQ(printed("all"), "loss = ce [layers=all, reduce=mean]");
  EXPECT_EQ(
      printed("a = 2*ce [reduce=sum, per=targets, judge=self]\n# and\nb = -ln( p_max )"
              "*prev.halts [judge=next_frozen,layers = 1..-1,  weights=[1,0.5 ,-2]]"),
      "a = 2*ce [layers=last]; b = -ln(p_max)*prev.halts [layers=1..-1, weights=[1, 0.5, -2], "
      "judge=next_frozen]");
  EXPECT_EQ(printed("x = p_max*(p > 0.5) [layers=2, reach=3]"),
            "x = p_max*(p > 0.5) [layers=[2], reach=3]");
}

TEST(Objective, LayersAreCountedFromBothEnds) {
  EXPECT_THAT(layer_weights_of("layers=last"), ElementsAre(0, 0, 0, 1));
  EXPECT_THAT(layer_weights_of("layers=all"), ElementsAre(1, 1, 1, 1));
  EXPECT_THAT(layer_weights_of("layers=all, reduce=mean"), ElementsAre(0.25, 0.25, 0.25, 0.25));
  EXPECT_THAT(layer_weights_of("layers=1..-1"), ElementsAre(0, 1, 1, 1));
  EXPECT_THAT(layer_weights_of("layers=0..-2"), ElementsAre(1, 1, 1, 0));
  EXPECT_THAT(layer_weights_of("layers=-2..2"), ElementsAre(0, 0, 1, 0));
  EXPECT_THAT(layer_weights_of("layers=[0, -1]"), ElementsAre(1, 0, 0, 1));
  EXPECT_THAT(layer_weights_of("layers=2"), ElementsAre(0, 0, 1, 0));
  EXPECT_THAT(layer_weights_of("layers=[3, 0], weights=[2, -6], reduce=mean"),
              ElementsAre(1.5, 0, 0, -0.5));
  EXPECT_THAT(layer_weights_of("layers=0..-2", 1), ElementsAre(0)) << "there are none before";
  EXPECT_THAT(layer_weights_of("layers=1..-1", 1), ElementsAre(0));
  EXPECT_THAT(layer_weights_of("layers=1..-2", 1), ElementsAre(0));
  EXPECT_TRUE(supervision_of("loss = ce", 4)[0].last_reading);
  EXPECT_FALSE(supervision_of("loss = ce [layers=-1]", 4)[0].last_reading);
}

struct RefusedObjective {
  const char *text, *said, *hint;
};

TEST(Objective, RefusalsNameThePlaceAndWhatIsAllowed) {
  const RefusedObjective refused[] = {
      {"loss = ", "column", ""},
      {"lost", "lost is no objective", "did you mean last? A formula is like"},
      {"nothing_like_it", "nothing_like_it is no objective",
       "carry_penalty, or a formula like `loss = ce [layers=all]`"},
      {"loss = sig(ce)", "is of wirings, not of objectives", "ln, exp"},
      {"loss = ce [layers=al]", "layers=al", "last, all, 2, 0..-2 or [0, 2]"},
      {"", "there is no statement", "a statement is"},
      {"loss = cee", "objective, column 8: there is no signal cee", "ce"},
      {"loss = prev.has_target*ce", "there is no signal prev.has_target", ""},
      {"loss = A(ce)", "A(ce) is of wirings", "ln, exp"},
      {"loss = log(p)", "column 8: there is no log(...)", "ln, exp"},
      {"loss = ln(p, p)", "has 2 arguments", "one"},
      {"loss = max(p)", "has 1 arguments", "two"},
      {"loss = 3*L", "is a number", "ce"},
      {"loss = halts", "teaches nothing", "ce, p"},
      {"loss = stop(ce)", "teaches nothing", "ce, p"},
      {"loss = ce*mean(p)", "joins what is of single rows with a mean", "mean(x)*mean(y)"},
      {"loss = mean(mean(p))", "is no mean over rows", "p_max"},
      {"loss = mean(2)", "is no mean over rows", "p_max"},
      {"loss = ce; loss = p", "two terms loss", "name of its own"},
      {"halting_gate = ce", "cannot be called halting_gate", "letters"},
      {"loss = ce [layer=all]", "objective, column 12: there is no attribute layer", "layers"},
      {"loss = ce [layers=all, layers=all]", "given twice", "a statement is"},
      {"loss = ce [layers=first]", "\"first\" is no whole number", "-2"},
      {"loss = ce [layers=[0, x]]", "\"x\" is no whole number", "-2"},
      {"loss = ce [weights=0.5]", "is no list", "weights=[0, 2]"},
      {"loss = ce [weights=[a]]", "\"a\" is no number", "0.5"},
      {"loss = ce [judge=nobody]", "judge=nobody is none", "self_frozen"},
      {"loss = ce [per=layer]", "per=layer is none", "targets"},
      {"loss = ce [reduce=max]", "reduce=max is none", "mean"},
      {"loss = ce [reach=0]", "goes through no layer", "reach=1"},
      {"loss = p [judge=self_frozen, reach=2]", "a judge that is frozen", "judge=self"},
      {"loss = ce*expected_asked [reach=2]", "by more than ce, p and p_max", "stop()"},
  };
  for (const RefusedObjective& r : refused) {
    SCOPED_TRACE(r.text);
    const Error e = refusal_of([&] { parse_objective(r.text); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_THAT(e.what(), HasSubstr(r.said));
    EXPECT_THAT(e.hint(), HasSubstr(r.hint));
  }
  for (const RefusedObjective& r :
       {RefusedObjective{"loss = ce [layers=4]", "layer 4, and n_layer = 4", "0 to 3"},
        RefusedObjective{"loss = ce [layers=-5..-1]", "layer -5", "0 to 3"},
        RefusedObjective{"loss = ce [layers=0..4]", "layer 4", "0 to 3"},
        RefusedObjective{"loss = ce [layers=10..-1]", "layers=10..-1, which of 4 layers are none",
                         "0 to 3"},
        RefusedObjective{"loss = ce [layers=0..-10]", "of 4 layers are none", "-1 to -4"},
        RefusedObjective{"loss = ce [layers=2..1]", "of 4 layers are none", "earlier layer"},
        RefusedObjective{"loss = ce [layers=-1..0]", "of 4 layers are none", "earlier layer"},
        RefusedObjective{"loss = ce [layers=all, weights=[1, 2]]", "2 weights for 4 layers", "one"},
        RefusedObjective{"loss = ce [layers=[1, 1]]", "layer 1 twice", "once"},
        RefusedObjective{"loss = ce [layers=[0, 1], weights=[1, -1], reduce=mean]",
                         "are 0 together", "sum"}}) {
    SCOPED_TRACE(r.text);
    const Error e = refusal_of([&] { supervision_of(r.text, 4); });
    EXPECT_THAT(e.what(), HasSubstr(r.said));
    EXPECT_THAT(e.hint(), HasSubstr(r.hint));
  }
}

// Which of them the readout can sum up in the pass that reads.
TEST(Objective, AWeightedCrossEntropyIsOneWhoseWeightsAreKnownBefore) {
  const auto known = [](const std::string& text) {
    const SupervisionTable table = supervision_of(text, 3);
    return is_weighted_cross_entropy(table.at(0));
  };
  for (const char* text :
       {"x = ce", "x = -ce", "x = 0.5*ce*asked", "x = ce*(1 - prev.halts)/L", "x = ce*i + 2*ce",
        "x = ce*stop(prev.p_max)", "x = ce*(prev.ce > 1)", "x = ce*asked [layers=all, per=asked]",
        "x = ce*stop(expected_asked)", "x = ce*prev.survives", "x = ce [layers=all, per=asked]"})
    EXPECT_TRUE(known(text)) << text;
  for (const char* text :
       {"x = ce + 1", "x = ce*ce", "x = ce*p_max", "x = ce*halts", "x = ce*answers",
        "x = ce*prev.p_max", "x = ce/ce*p", "x = -ln(p)", "x = ce*expected_asked", "x = mean(ce)",
        "x = ce [reach=1]", "x = ce [judge=self_frozen]", "x = ce [per=valid]", "x = ce*stop(p)",
        "x = max(ce, 1)", "x = ce*agrees", "x = ce [per=halts]"})
    EXPECT_FALSE(known(text)) << text;
  std::set<std::string> at_once;
  for (const NamedObjective& named : named_objectives()) {
    bool all = true;
    for (const SupervisionTerm& term : supervision_of(named.name, 3))
      all = all && is_weighted_cross_entropy(term);
    if (all) at_once.insert(named.name);
  }
  EXPECT_EQ(at_once, (std::set<std::string>{"last", "all", "skip_easy"}));
}

TEST(Objective, AMeanOverChosenRowsHasWhatChoosesThemAsAFactor) {
  const auto value = [](const std::string& text) {
    return to_text(supervision_of("x = " + text, 2).at(0).value);
  };
  EXPECT_EQ(value("ce [per=halts]"), "ce*halts");
  EXPECT_EQ(value("ce + p [per=answers]"), "(ce + p)*answers");
  EXPECT_EQ(value("ce*prev.survives [per=survives]"), "ce*prev.survives*survives");
  EXPECT_EQ(value("ce*asked/2 [per=asked]"), "ce*asked/2") << "it has it";
  EXPECT_EQ(value("mean(ce) [per=halts]"), "mean(ce)") << "a mean chooses by itself";
  EXPECT_EQ(value("ce [per=has_target]"), "ce");
  EXPECT_EQ(to_text(parse_objective("x = ce [per=halts]")), "x = ce [layers=last, per=halts]");
}

TEST(Objective, LayersThatAreAskedForATermAnswer) {
  const auto answers = [](const std::string& text) {
    return layers_that_answer(supervision_of(text, 4), 4);
  };
  using Answers = std::vector<bool>;
  EXPECT_EQ(answers("loss = ce"), (Answers{false, false, false, true}));
  EXPECT_EQ(answers("loss = ce*prev.p"), (Answers{false, false, true, true}));
  EXPECT_EQ(answers("loss = ce*agrees"), (Answers{false, false, true, true}));
  EXPECT_EQ(answers("loss = ce*expected_asked"), (Answers{true, true, true, true}));
  EXPECT_EQ(answers("loss = p [layers=1, judge=next_frozen]"), (Answers{false, true, true, false}));
}

TEST(SupervisionConfig, AnObjectiveTakesThePlaceOfLayerSupervision) {
  SupervisionConfig c;
  EXPECT_EQ(to_text(objective_of(c)), "loss = ce [layers=last]");
  c.layer_supervision = {"all", {}};
  EXPECT_EQ(to_text(objective_of(c)), to_text(parse_objective("all")));
  c.layer_supervision = {"skip_easy", {}};
  EXPECT_EQ(to_text(objective_of(c)), to_text(parse_objective("skip_easy")));
  c.layer_supervision = {"", {1, 0, 3}};
  EXPECT_EQ(to_text(objective_of(c)), "loss = ce [layers=all, weights=[1, 0, 3], reduce=mean]");
  EXPECT_THAT(c.layer_weights(3), ElementsAre(0.25, 0, 0.75));
  c.objective = "a = ce; b = -p_max [layers=[0, 2]]";
  EXPECT_THAT(c.layer_weights(3), ElementsAre(1, 0, 2));
  c.objective = "None";
  EXPECT_THAT(c.layer_weights(3), ElementsAre(0.25, 0, 0.75));
}

TEST(SupervisionConfig, ReachIsOfAllLossesThatHaveNone) {
  SupervisionConfig c;
  c.objective = "a = ce; b = p [reach=1]";
  EXPECT_EQ(make_supervision(c, 3)[0].reach, 0);
  c.reach = 1;  // by the doors, not term by term
  EXPECT_EQ(make_supervision(c, 3)[0].reach, 0);
  c.reach = 2;
  EXPECT_EQ(make_supervision(c, 3)[0].reach, 2);
  EXPECT_EQ(make_supervision(c, 3)[1].reach, 1);
  EXPECT_TRUE(make_supervision(c, 3)[0].reach_embeddings);
  c.reach_embeddings = false;
  EXPECT_FALSE(make_supervision(c, 3)[0].reach_embeddings);
  c.objective = "conf_3";
  const Error frozen = refusal_of([&] { make_supervision(c, 3); });
  EXPECT_THAT(frozen.what(), HasSubstr("reach = 2 is of all losses, and the judge of confidence "
                                       "is frozen"));
  EXPECT_THAT(frozen.hint(), HasSubstr("--reach=1 or --reach=None"));
  BackboneConfig b;
  c.objective = "b = p [reach=5]";
  EXPECT_THAT(refusal_of([&] { validate(c, b); }).what(),
              AllOf(HasSubstr("reach of 5"), HasSubstr("reach = 2")));
  c = {};
  c.objective = "b = p [layers=0..-2]";
  b.n_layer = 1;
  EXPECT_THAT(refusal_of([&] { validate(c, b); }).what(), HasSubstr("none of the 1 layers"));
  c.objective = "loss = ce [weights=[0]]";
  EXPECT_THAT(refusal_of([&] { validate(c, b); }).what(), HasSubstr("weights of 0"));
}

TEST(SupervisionConfig, FrozenPartsAreClassesOfModules) {
  SupervisionConfig c;
  EXPECT_FALSE(frozen_parts(c).any());
  c.freeze_parts = "block";
  FrozenParts parts = frozen_parts(c);
  EXPECT_TRUE(parts.attention && parts.mlp && parts.norm && !parts.embedding && !parts.head);
  c.freeze_parts = " head ,embedding";
  parts = frozen_parts(c);
  EXPECT_TRUE(parts.head && parts.embedding && !parts.attention && !parts.mlp && !parts.norm);
  c.freeze_parts = "atn";
  EXPECT_THAT(refusal_of([&] { frozen_parts(c); }).hint(), HasSubstr("attn"));
  c.freeze_parts = "block, embedding, head";
  EXPECT_THAT(refusal_of([&] { frozen_parts(c); }).what(), HasSubstr("nothing would be trained"));
}

TEST(SupervisionConfig, AnObjectiveOfHaltingNeedsARule) {
  ModelConfig config;
  for (const char* name : {"conf_3", "conf_6_2"}) {
    config.supervision.objective = name;
    const Error e = refusal_of([&] { validate(config); });
    EXPECT_THAT(e.what(), AllOf(HasSubstr(name), HasSubstr("halt_rule = none")));
    EXPECT_THAT(e.hint(), HasSubstr("expected_halts"));
  }
  config.halting.rule = HaltRule::kMax;
  validate(config);
  config.halting.rule = HaltRule::kNone;
  config.supervision.objective = "expected";
  validate(config);
}

}  // namespace
}  // namespace fathom
