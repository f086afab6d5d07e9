// What follows from the states of texts.
#include <algorithm>

#include "fathom/study/loops/box_counting.h"
#include "fathom/study/loops/dynamics.h"
#include "fathom/study/loops/loop_facts.h"

namespace fathom {
namespace {

constexpr size_t kMostWays = 16;

// A token's way over places or states from number `from` on: (iterations, C).
DenseMatrix way_of(const std::vector<DenseMatrix>& places, size_t from, size_t t) {
  const size_t K = places.size() - from, C = places.back().columns;
  DenseMatrix way(K, C);
  for (size_t k = 0; k < K; ++k)
    std::copy(places[from + k].row(t), places[from + k].row(t) + C, way.row(k));
  return way;
}

Projection projection_of(const TextLoops& text, size_t components) {
  Projection out;
  out.groups.resize(text.groups.size());
  const auto has_width = [&](const GroupLoops& group) {
    return group.states.size() > 1 &&
           group.states.back().columns == text.groups.back().states.back().columns;
  };
  DenseMatrix all;
  for (const GroupLoops& group : text.groups) {
    if (!has_width(group)) continue;
    all.columns = group.states.back().columns;
    for (size_t k = 1; k < group.states.size(); ++k) {
      const DenseMatrix& x = group.states[k];
      all.values.insert(all.values.end(), x.values.begin(), x.values.end());
      all.rows += x.rows;
    }
  }
  out.pca = pca(all, components);
  for (size_t g = 0; g < text.groups.size(); ++g) {
    if (!has_width(text.groups[g])) continue;
    for (size_t k = 1; k < text.groups[g].states.size(); ++k)
      out.groups[g].push_back(out.pca.project(text.groups[g].states[k]));
  }
  return out;
}

LoopShapes shapes_of(const LoopFacts& facts, size_t g) {
  LoopShapes out;
  for (size_t i = 0; i < facts.texts.size(); ++i) {
    const TextLoops& text = facts.texts[i];
    const GroupLoops& group = text.groups[g];
    const std::vector<DenseMatrix>& places = facts.projections[i].groups[g];
    if (group.states.size() < 2) continue;
    const size_t T = group.states.back().rows, step = std::max<size_t>(1, T / kMostWays);
    for (size_t t = (T - 1) % step; t < T; t += step) {
      const DenseMatrix way = way_of(group.states, 1, t);
      out.boxes.push_back(box_dimension(way));
      out.run_boxes.push_back(box_dimension_of_run(way));
      if (!facts.boxes_on_axes || places.empty()) continue;
      const DenseMatrix on_axes = way_of(places, 0, t);
      out.axis_boxes.push_back(box_dimension(on_axes));
      out.axis_run_boxes.push_back(box_dimension_of_run(on_axes));
    }
    if (!facts.is_outer(g)) continue;  // it goes on elsewhere in each round of the one around it
    std::vector<std::vector<DenseMatrix>> ways;
    size_t place = 0;
    for (size_t j = 0; j < text.groups.size(); ++j) {
      if (!facts.is_outer(j)) continue;
      if (j == g) place = ways.size();
      const GroupLoops& of = text.groups[j];
      ways.push_back({of.states.begin() + 1, of.states.end()});
    }
    const std::vector<double> drift = drift_to_loop(ways);
    if (place < drift.size()) out.drift.push_back(drift[place]);
  }
  return out;
}

}  // namespace

void analyse(LoopFacts& facts) {
  facts.projections.clear();
  facts.shapes.clear();
  for (const TextLoops& text : facts.texts)
    facts.projections.push_back(projection_of(text, facts.components));
  for (size_t g = 0; g < facts.groups.size(); ++g) facts.shapes.push_back(shapes_of(facts, g));
}

}  // namespace fathom
