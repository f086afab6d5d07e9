#include "fathom/study/loops/loop_pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace fathom {
namespace {

constexpr report::NumberForm kPercent = {report::NumberForm::Kind::kPercent, 1};
constexpr size_t kMostLines = 12;  // tokens of a picture

// Some of T tokens, evenly apart, the last one among them.
std::vector<size_t> drawn_tokens(size_t T) {
  std::vector<size_t> out;
  const size_t step = std::max<size_t>(1, (T + kMostLines - 1) / kMostLines);
  for (size_t t = (T - 1) % step; t < T; t += step) out.push_back(t);
  return out;
}

std::string token_name(const TextLoops& text, size_t t) {
  return fmt::format("{}{}", t, t < text.tokens.size() ? " " + text.tokens[t] : "");
}

// States of one group that are drawn behind one another, from number `from` on.
struct Stretch {
  size_t group = 0, from = 0;
};

std::vector<Stretch> whole_way(const LoopFacts& facts, const Projection& p) {
  std::vector<Stretch> way;
  for (size_t g = 0; g < p.groups.size(); ++g)
    if (facts.is_outer(g) && !p.groups[g].empty()) way.push_back({g, 0});
  return way;
}

// `zoom`: as seen from each token's last place, for tokens settle far from one another and move
// little by then.
report::Plot way_plot(const LoopFacts& facts, const std::vector<size_t>& tokens,
                      const std::vector<Stretch>& way, size_t axis, bool zoom,
                      const std::string& title) {
  const TextLoops& text = facts.texts.front();
  const Projection& p = facts.projections.front();
  report::Plot plot;
  plot.title = title;
  const auto label = [&](size_t a) {
    return fmt::format("axis {} ({})", a + 1, report::shown(p.pca.ratios[a], kPercent));
  };
  plot.x.label = label(0);
  plot.y.label = label(axis);
  size_t steps = 0;
  for (const Stretch& s : way) steps += p.groups[s.group].size() - s.from;
  if (way.size() > 1)
    for (const Stretch& s : way) plot.shapes.push_back(facts.groups[s.group]);
  const size_t before = way.size() > 1 ? 0 : way.front().from;  // iterations that are not drawn
  plot.shades = {{way.size() > 1 ? "depth" : "iteration", std::to_string(before + 1),
                  std::to_string(before + steps)}};
  const DenseMatrix& end = p.groups[way.back().group].back();
  for (const size_t t : tokens) {
    report::Line line{token_name(text, t), {}, {}};
    line.marks.ends = true;
    for (size_t s = 0; s < way.size(); ++s) {
      const std::vector<DenseMatrix>& places = p.groups[way[s].group];
      for (size_t k = way[s].from; k < places.size(); ++k) {
        const auto depth = static_cast<double>(line.x.size());
        line.x.push_back(places[k].at(t, 0) - (zoom ? end.at(t, 0) : 0));
        line.y.push_back(places[k].at(t, axis) - (zoom ? end.at(t, axis) : 0));
        line.marks.shapes.push_back(way.size() > 1 ? s : way[s].group);
        line.marks.shades.push_back(steps > 1 ? depth / static_cast<double>(steps - 1) : 1);
      }
    }
    plot.lines.push_back(std::move(line));
  }
  return plot;
}

}  // namespace

std::vector<report::Plot> token_plots(const LoopFacts& facts) {
  std::vector<report::Plot> plots;
  if (facts.texts.empty()) return plots;
  const TextLoops& text = facts.texts.front();
  for (size_t g = 0; g < text.groups.size(); ++g) {
    const std::vector<DenseMatrix>& states = text.groups[g].states;
    if (states.size() < 2) continue;
    report::Plot plot;
    plot.title = fmt::format("relative change of tokens, {}", facts.groups[g]);
    plot.x.label = "iteration";
    plot.y = {"|x' - x| / |x'|", /*log=*/true};
    for (const size_t t : drawn_tokens(states.back().rows)) {
      report::Line line{token_name(text, t), {}, {}};
      for (size_t k = 1; k < states.size(); ++k) {
        const DenseMatrix &before = states[k - 1], &after = states[k];
        const size_t C = after.columns;
        line.x.push_back(static_cast<double>(k));
        line.y.push_back(before.columns == C ? distance(after.row(t), before.row(t), C) /
                                                   std::sqrt(dot(after.row(t), after.row(t), C))
                                             : std::numeric_limits<double>::quiet_NaN());
      }
      plot.lines.push_back(std::move(line));
    }
    plots.push_back(std::move(plot));
  }
  return plots;
}

std::vector<report::Plot> trajectory_plots(const LoopFacts& facts) {
  std::vector<report::Plot> plots;
  if (facts.projections.empty()) return plots;
  const TextLoops& text = facts.texts.front();
  const Projection& p = facts.projections.front();
  const std::vector<size_t> tokens = drawn_tokens(text.groups.back().states.back().rows);
  const auto add = [&](const std::vector<size_t>& of, const std::vector<Stretch>& way, bool zoom,
                       const std::string& title) {
    for (size_t axis = 1; axis < facts.components; ++axis)
      plots.push_back(way_plot(facts, of, way, axis, zoom, title));
  };
  const std::vector<Stretch> whole = whole_way(facts, p);
  if (whole.size() > 1) add(tokens, whole, false, "all loops on the principal axes");
  for (size_t g = 0; g < p.groups.size(); ++g) {
    const size_t K = p.groups[g].size();
    if (K == 0) continue;
    add(tokens, {{g, 0}}, false, facts.groups[g] + " on the principal axes");
    if (K > facts.zoom)
      add(tokens, {{g, K - facts.zoom}}, true,
          fmt::format("{}, last {} iterations, from each token's last place", facts.groups[g],
                      facts.zoom));
  }
  for (const size_t t : tokens)
    if (facts.token_pictures && !whole.empty())
      add({t}, whole, false, fmt::format("token {} on the principal axes", token_name(text, t)));
  return plots;
}

}  // namespace fathom
