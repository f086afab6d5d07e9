// Loops as programs read them.

#include <cmath>
#include <nlohmann/json.hpp>

#include "fathom/report/render.h"
#include "fathom/study/loops/loop_facts.h"

namespace fathom {
namespace {

using nlohmann::json;

json number(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}

json numbers(const std::vector<double>& values) {
  json out = json::array();
  for (const double value : values) out.push_back(number(value));
  return out;
}

json convergence_json(const Convergence& c) {
  return {{"change", numbers(c.change)},
          {"relative", numbers(c.relative)},
          {"cosine", numbers(c.angle)},
          {"norm", numbers(c.norm)},
          {"kl_drift", numbers(c.drift)}};
}

json text_json(const TextLoops& text) {
  json groups = json::array();
  for (const GroupLoops& group : text.groups) groups.push_back(convergence_json(group.convergence));
  json tokens = json::array();
  for (const std::string& token : text.tokens) tokens.push_back(report::json_word(token));
  json steps = json::array();
  for (const WalkStep& step : text.walk)
    steps.push_back({{"layer", step.layer}, {"iterations", step.iterations}});
  return {{"tokens", tokens},
          {"groups", groups},
          {"global", convergence_json(text.global)},
          {"walk", steps}};
}

// [group][token][iteration][axis]
json trajectories_json(const Projection& p) {
  json groups = json::array();
  for (const auto& places : p.groups) {
    json tokens = json::array();
    const size_t T = places.empty() ? 0 : places.front().rows;
    for (size_t t = 0; t < T; ++t) {
      json points = json::array();
      for (const DenseMatrix& at : places)
        points.push_back(numbers({at.row(t), at.row(t) + at.columns}));
      tokens.push_back(std::move(points));
    }
    groups.push_back(std::move(tokens));
  }
  return groups;
}

json jacobians_json(const LoopFacts& facts) {
  json out = json::array();
  for (const LoopJacobian& j : facts.jacobians)
    out.push_back({{"group", j.group},
                   {"iteration", j.iteration},
                   {"token", j.token},
                   {"spectral_radius", number(j.spectral_radius)},
                   {"operator_norm", number(j.operator_norm)}});
  return out;
}

json exits_json(const LoopFacts& facts) {
  json out = json::array();
  for (const LoopExit& e : facts.exits) {
    json row = {{"name", report::json_word(e.name)},
                {"loss", numbers(e.loss)},
                {"iterations", number(e.iterations)},
                {"blocks", number(e.blocks)},
                {"milliseconds_per_token", number(e.milliseconds)}};
    if (e.count) row["loops"] = *e.count;
    if (e.threshold) row["threshold"] = number(*e.threshold);
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace

std::vector<int64_t> shown_iterations(int64_t count) {
  std::vector<int64_t> out;
  for (int64_t k = 1; k <= count; ++k) {
    const bool round =
        k <= 3 || (k <= 30 && k % 5 == 0) || (k <= 100 && k % 25 == 0) || k % 100 == 0;
    if (count <= 12 || round || k == count) out.push_back(k);
  }
  return out;
}

json loop_numbers(const LoopFacts& facts) {
  json groups = json::array(), texts = json::array();
  for (size_t g = 0; g < facts.groups.size(); ++g) {
    json group = {{"layers", facts.groups[g]}};
    if (g < facts.shapes.size()) {
      group["box_dimension"] = numbers(facts.shapes[g].boxes);
      group["box_dimension_of_run"] = numbers(facts.shapes[g].run_boxes);
      group["drift_to_loop"] = numbers(facts.shapes[g].drift);
      if (facts.boxes_on_axes) {
        group["box_dimension_on_axes"] = numbers(facts.shapes[g].axis_boxes);
        group["box_dimension_of_run_on_axes"] = numbers(facts.shapes[g].axis_run_boxes);
      }
    }
    groups.push_back(std::move(group));
  }
  for (const TextLoops& text : facts.texts) texts.push_back(text_json(text));
  json spreads = json::array(), weights = json::array();
  for (const LoopSpread& s : facts.spreads)
    spreads.push_back({{"loops", s.count},
                       {"states", number(s.state)},
                       {"ln_p", number(s.scores)},
                       {"kl", number(s.kl)}});
  for (const WeightNorm& w : facts.weights)
    weights.push_back({{"name", report::json_word(w.name)},
                       {"shape", {w.rows, w.columns}},
                       {"largest_singular_value", number(w.largest)}});
  json out = {{"run", report::json_word(facts.run)},
              {"source", report::json_word(facts.source)},
              {"loops", facts.count},
              {"groups", groups},
              {"texts", texts},
              {"jacobian", facts.map},
              {"jacobians", jacobians_json(facts)},
              {"jacobian_steps", facts.jacobian_steps},
              {"spreads", spreads},
              {"exits", exits_json(facts)},
              {"weights", weights}};
  if (facts.trained) out["trained_loops"] = *facts.trained;
  if (!facts.projections.empty()) {
    out["explained"] = numbers(facts.projections.front().pca.ratios);
    out["trajectories"] = trajectories_json(facts.projections.front());
  }
  return out;
}

}  // namespace fathom
