#include "fathom/model/spec/supervision_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/depth_plan.h"

namespace fathom {
namespace {

void check_weights(const SupervisionConfig& c, const BackboneConfig& b) {
  const FloatList& weights = c.layer_supervision.list;
  if (!c.layer_supervision.choice.empty()) return;
  if (static_cast<int64_t>(weights.size()) != b.n_layer)
    misuse(fmt::format("layer_supervision = [{}] has {} weights, n_layer = {} needs {}",
                       shown_list(weights), weights.size(), b.n_layer, b.n_layer),
           "give one per layer, or last, all or skip_easy");
  if (std::accumulate(weights.begin(), weights.end(), 0.0) <= 0)
    misuse(fmt::format("layer_supervision = [{}] trains no layer", shown_list(weights)),
           "one of the weights must be above 0");
}

bool is_zero(const std::vector<double>& weights) {
  return std::all_of(weights.begin(), weights.end(), [](double w) { return w == 0; });
}

void check_objective(const SupervisionConfig& c, int64_t n_layer) {
  const SupervisionTable table = make_supervision(c, n_layer);
  if (is_zero(c.layer_weights(n_layer))) {
    const Objective objective = objective_of(c);
    const bool weighted =
        std::any_of(objective.terms.begin(), objective.terms.end(),
                    [](const ObjectiveTerm& term) { return !term.layers.weights.empty(); });
    misuse(fmt::format("objective: its terms have none of the {} layers{}", n_layer,
                       weighted ? ", or weights of 0 for them" : ""),
           weighted ? "one of the weights must not be 0, and layers=last is there in every model"
                    : "layers=last is there in every model");
  }
  for (const SupervisionTerm& term : table)
    if (c.reach && term.reach > *c.reach)
      misuse(fmt::format("objective: {} has a reach of {}, and reach = {}", escaped(term.name),
                         term.reach, *c.reach),
             "reach is of all losses: leave it out, or take the smaller one in the term");
}

}  // namespace

void add_fields(FieldList& list, SupervisionConfig& c) {
  list.section("supervision");
  list.add("objective", c.objective,
           "what is minimised: a name (last, all, skip_easy, expected, ponder, conf_1, ...) or a "
           "formula such as loss = ce [layers=all]; None or empty: as layer_supervision says");
  const auto by_layers = [&c] { return !c.has_objective(); };
  list.add("layer_supervision", c.layer_supervision,
           "layers whose loss is trained: the last (in a loop, its answer after the last "
           "iteration), all, all but on tokens that an earlier layer answered (skip_easy), or a "
           "weight per layer; but for last, a layer in a loop counts once an iteration",
           {"last", "all", "skip_easy"})
      .at_least(0)
      .needs("objective = None", by_layers);
  list.add<SupervisionReduce>(
          "supervision_reduce", c.reduce,
          "mean: weighted mean of the layers' losses, where one in a loop adds its loss of every "
          "iteration; sum: their sum",
          {{"mean", SupervisionReduce::kMean}, {"sum", SupervisionReduce::kSum}})
      .needs("objective = None", by_layers)
      .needs("another layer_supervision than last",
             [&c] { return c.layer_supervision.choice != "last"; });
  list.add<SkipEasyWeight>("skip_easy_weight", c.skip_easy_weight,
                           "skip_easy averages over a layer's remaining tokens (layer), or weighs "
                           "every token alike (token)",
                           {{"layer", SkipEasyWeight::kLayer}, {"token", SkipEasyWeight::kToken}})
      .needs("objective = None", by_layers)
      .needs("layer_supervision = skip_easy",
             [&c] { return c.layer_supervision.choice == "skip_easy"; });
  list.add("reach", c.reach,
           "blocks that a loss teaches: the one that is asked and those before it (1 costs "
           "nothing, more a second way through that many for each loss); None: all")
      .at_least(1)
      .at_most(1 << 20);
  list.add("reach_embeddings", c.reach_embeddings,
           "losses teach what the stem makes of tokens and positions (what else reads those "
           "tables, a tied head or a layer's door, teaches them all the same)");
  list.add("freeze_parts", c.freeze_parts,
           "modules that no loss teaches, though gradients go through them: attn, mlp, norm, "
           "embedding, head, or block for the first three; separated by commas");
}

void validate(const SupervisionConfig& c, const BackboneConfig& b) {
  frozen_parts(c);
  if (!c.has_objective()) check_weights(c, b);
  check_objective(c, b.n_layer);
}

void apply(const SupervisionConfig& section, DepthPlan& plan, Policy& /*policy*/) {
  int64_t n_layer = 0;
  each_layer(plan, [&](LayerSpec&) { ++n_layer; });
  const std::vector<bool> answers = layers_that_answer(make_supervision(section, n_layer), n_layer);
  size_t i = 0;
  each_layer(plan, [&](LayerSpec& layer) {
    if (answers[i++]) add_readout(layer);
    // Where every loss ends at the door of its block no loss has to end by itself.
    layer.cut_later = section.reach == 1;
  });
  plan.stem.cut = !section.reach_embeddings;
}

bool SupervisionConfig::has_objective() const {
  const std::string_view said = trim(objective);
  return !said.empty() && said != "None";
}

Objective objective_of(const SupervisionConfig& c) {
  if (c.has_objective()) return parse_objective(c.objective);
  ObjectiveTerm term;
  term.mean = c.reduce == SupervisionReduce::kMean;
  if (c.layer_supervision.choice == "last") {
    term.mean = false;
    return {{term}};
  }
  term.layers.kind = LayerChoice::kAll;
  if (c.layer_supervision.choice.empty()) term.layers.weights = c.layer_supervision.list;
  if (c.skips_easy()) {
    term.value = term.value * wire::name("asked");
    if (c.skip_easy_weight == SkipEasyWeight::kLayer) term.per = TermRule::kAsked;
  }
  return {{term}};
}

SupervisionTable make_supervision(const SupervisionConfig& config, int64_t n_layer) {
  SupervisionTable table = table_of(objective_of(config), n_layer);
  for (SupervisionTerm& term : table) {
    term.reach_embeddings = config.reach_embeddings;
    if (config.reach.value_or(1) == 1 || term.reach > 0) continue;
    if (term.judge != TermRule::kSelf)
      misuse(fmt::format("reach = {} is of all losses, and the judge of {} is frozen: it teaches "
                         "only what came before it",
                         *config.reach, escaped(term.name)),
             "take --reach=1 or --reach=None, or write reach=K in the terms of judge=self");
    term.reach = *config.reach;
    check_reach(term);
  }
  return table;
}

FrozenParts frozen_parts(const SupervisionConfig& config) {
  FrozenParts frozen;
  std::string_view rest = config.freeze_parts;
  while (!trim(rest).empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view word = trim(rest.substr(0, comma));
    rest = rest.substr(std::min(comma + 1, rest.size()));
    const bool block = word == "block";
    if (word == "attn" || block) frozen.attention = true;
    if (word == "mlp" || block) frozen.mlp = true;
    if (word == "norm" || block) frozen.norm = true;
    if (word == "embedding") frozen.embedding = true;
    if (word == "head") frozen.head = true;
    const std::vector<std::string> words = {"attn", "mlp", "norm", "embedding", "head", "block"};
    if (std::find(words.begin(), words.end(), word) == words.end())
      misuse(fmt::format("freeze_parts = {}: {} is no class of modules",
                         quoted_start(config.freeze_parts), quoted_start(word)),
             suggestion(word, words));
  }
  if (frozen.attention && frozen.mlp && frozen.norm && frozen.embedding && frozen.head)
    misuse("freeze_parts has every class of modules: nothing would be trained",
           "leave one of attn, mlp, norm, embedding, head out");
  return frozen;
}

namespace {

// It has an answer of the layer before in it that has a gradient.
bool teaches_before(const Expr& e) {
  if (e.op == Expr::kCall && e.name == "stop") return false;
  if (e.op == Expr::kName && (e.name == "prev.ce" || e.name == "prev.p" || e.name == "prev.p_max"))
    return true;
  return std::any_of(e.args.begin(), e.args.end(), teaches_before);
}

}  // namespace

std::vector<std::string> remarks(const SupervisionConfig& config, const ObjectiveGround& ground) {
  std::vector<std::string> out;
  for (const SupervisionTerm& term : make_supervision(config, ground.n_layer)) {
    const std::string name = escaped(term.name);
    const std::vector<double> later(term.weights.begin() + 1, term.weights.end());
    if (is_zero(term.weights))
      out.push_back(fmt::format("objective: {} has none of the {} layers, and teaches nothing",
                                name, ground.n_layer));
    else if (needs_previous(term.value) && is_zero(later) && !ground.loops)
      out.push_back(fmt::format(
          "objective: {} reads the layer before, and is of layer 0 alone: it teaches nothing",
          name));
    const auto add_idle = [&](const char* signal, const char* what) {
      if (!ground.halts && mentions(term.value, signal))
        out.push_back(
            fmt::format("objective: {} reads {}, and no token halts: {}", name, signal, what));
    };
    add_idle("asked", "all are asked at every layer");
    add_idle("answers", "all are answered by the last layer");
    const bool expects =
        mentions(term.value, "expected_halts") || mentions(term.value, "expected_asked");
    if (expects && ground.temperature != 1)
      out.push_back(
          fmt::format("objective: what {} expects is of p_max, of which "
                      "confidence_temperature = {} is no part",
                      name, ground.temperature));
  }
  return out;
}

std::vector<double> SupervisionConfig::layer_weights(int64_t n_layer) const {
  const SupervisionTable table = make_supervision(*this, n_layer);
  const bool by_one = table.size() == 1 && !teaches_before(table.front().value);
  if (by_one) return table.front().weights;
  std::vector<double> weights(static_cast<size_t>(n_layer), 0.0);
  for (const SupervisionTerm& term : table)
    for (size_t i = 0; i < weights.size(); ++i) {
      weights[i] += std::abs(term.weights[i]);
      if (i > 0 && teaches_before(term.value)) weights[i - 1] += std::abs(term.weights[i]);
    }
  return weights;
}

}  // namespace fathom
