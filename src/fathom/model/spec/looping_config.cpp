#include "fathom/model/spec/looping_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/policy.h"

namespace fathom {
namespace {

constexpr double kMostPassed = 10000;  // of one pass
constexpr int kMostOrder = 8;          // of groups in groups

// Reads groups as they are written, and refuses what is none.
class SpanReader {
 public:
  SpanReader(const LoopingConfig& config, int64_t n_layer)
      : shown_("loop_groups = " + shown_tree(config.groups.list)), n_layer_(n_layer) {}

  std::vector<LoopSpan> read(const std::vector<IntTree>& list) {
    std::vector<LoopSpan> spans;
    for (const IntTree& tree : list) {
      if (!tree.is_list)
        refuse(fmt::format("{} stands in no group", tree.number),
               fmt::format("a group is a list: [[{}]]", tree.number));
      spans.push_back(group(tree.list, 1));
    }
    std::sort(spans.begin(), spans.end(),
              [](const LoopSpan& a, const LoopSpan& b) { return a.first < b.first; });
    for (size_t i = 1; i < spans.size(); ++i)
      if (spans[i].first <= spans[i - 1].last)
        refuse(fmt::format("layer {} is in two groups", spans[i].first),
               "a group within another one is a list in its list");
    return spans;
  }

 private:
  [[noreturn]] void refuse(const std::string& why, const std::string& hint) const {
    misuse(fmt::format("{}: {}", shown_, why), hint);
  }

  LoopSpan group(const std::vector<IntTree>& list, int order) {
    LoopSpan span;
    span.place = groups_++;
    span.order = order;
    if (order > kMostOrder)
      refuse(fmt::format("groups stand in groups more than {} deep", kMostOrder),
             "a group that has no layers of its own is its inner groups");
    if (list.empty()) refuse("a group is empty", "leave it out; loop_groups=[] loops nothing");
    bool begun = false;
    for (const IntTree& tree : list) {
      LoopSpan part;
      if (tree.is_list)
        part = group(tree.list, order + 1);
      else
        part.first = part.last = layer(tree.number);
      if (begun && part.first != span.last + 1) misplaced(span.last, part.first);
      if (!begun) span.first = part.first;
      span.last = part.last;
      begun = true;
      if (tree.is_list) span.inner.push_back(std::move(part));
    }
    return span;
  }

  int64_t layer(int64_t number) const {
    if (number < 0 || number >= n_layer_)
      refuse(fmt::format("there is no layer {} where n_layer = {}", number, n_layer_),
             fmt::format("layers are numbered from 0 to {}", n_layer_ - 1));
    return number;
  }

  [[noreturn]] void misplaced(int64_t before, int64_t next) const {
    if (next <= before)
      refuse(fmt::format("layer {} stands behind layer {}", next, before),
             "a group names its layers in their order, each once");
    refuse(fmt::format("a group has the layers {} and {} and none between", before, next),
           "layers of a group follow on one another: name those between, or make two groups");
  }

  std::string shown_;
  int64_t n_layer_;
  size_t groups_ = 0;
};

std::string shown_groups(const LoopingConfig& c) {
  return "loop_groups = " + (c.groups.choice.empty() ? shown_tree(c.groups.list) : c.groups.choice);
}

// Iterations of the group in evaluation, and in training that draws none.
int64_t count_of(const LoopingConfig& c, const LoopSampler& sampler, double mean,
                 const LoopSpan& span) {
  if (!c.counts.empty()) {
    if (span.place < c.counts.size()) return c.counts[span.place];
    misuse(fmt::format("loop_counts = [{}] has no entry for a group of {}", shown_list(c.counts),
                       shown_groups(c)),
           "give one for each group, or loop_counts=None");
  }
  return sampler.draws() ? std::max<int64_t>(1, std::llround(mean)) : c.max_loops;
}

// Layers that a token passes in the layers [first, last], with `times` iterations of each group.
double passed_layers(const std::vector<LoopSpan>& groups, int64_t first, int64_t last,
                     const std::function<double(const LoopSpan&)>& times) {
  auto steps = static_cast<double>(last - first + 1);
  for (const LoopSpan& g : groups)
    steps += times(g) * passed_layers(g.inner, g.first, g.last, times) -
             static_cast<double>(g.last - g.first + 1);
  return steps;
}

// Puts the plan's layers into groups, and makes of each group what a pass does with it.
class Grouping {
 public:
  Grouping(const LoopingConfig& config, DepthPlan& plan, Policy& policy)
      : config_(config),
        sampler_(config.sampler()),
        mean_(sampler_.mean()),
        layers_(std::move(plan.nodes)),
        policy_(policy) {}

  // The nodes of the layers [first, last], those of `spans` in groups.
  std::vector<PlanNode> nodes(const std::vector<LoopSpan>& spans, int64_t first, int64_t last) {
    std::vector<PlanNode> out;
    auto span = spans.begin();
    for (int64_t i = first; i <= last; ++i) {
      if (span == spans.end() || i < span->first) {
        out.push_back(layers_.at(static_cast<size_t>(i)));
        continue;
      }
      out.push_back({group(*span)});
      i = span->last;
      ++span;
    }
    return out;
  }

 private:
  LoopGroup group(const LoopSpan& span) {
    const auto number = static_cast<int>(policy_.loops.size());
    policy_.loops.push_back(policy_of(span));
    LoopGroup group;
    if (config_.concatenate) group.adapter = config_.adapter == LoopAdapter::kShared ? 0 : number;
    group.adapter_init = config_.adapter_init;
    if (config_.norm != LoopNorm::kNone) {
      Injection norm{Injection::kNorm};
      norm.norm = NormSpec(NormId::kLoop, number);
      if (config_.norm == LoopNorm::kRms) norm.norm.kind = NormSpec::kRms;
      group.input.push_back(norm);
    }
    if (config_.signal != LoopSignal::kNone) {
      Injection signal{Injection::kLoopSignal, number};
      signal.rows = config_.max_loops;
      if (config_.signal == LoopSignal::kScale) signal.meeting = Injection::kMultiply;
      group.input.push_back(signal);
    }
    group.body = nodes(span.inner, span.first, span.last);
    return group;
  }

  LoopPolicy policy_of(const LoopSpan& span) const {
    LoopPolicy loop;
    loop.count = count_of(config_, sampler_, mean_, span);
    loop.sampler = sampler_;
    loop.sampled_by_sequence = config_.unit == SamplingUnit::kSequence;
    loop.sampled_in_eval = config_.eval_counts == EvalCounts::kSampled;
    loop.single_pass_adapter = config_.single_pass_adapter;
    const auto& layer = std::get<LayerSpec>(layers_.at(static_cast<size_t>(span.first)).node);
    loop.noise =
        config_.noise_scale * std::sqrt(2 * span.order / (5 * static_cast<double>(layer.width_in)));
    loop.noise_in_eval = config_.noise_eval;
    loop.backprop_depth = std::max<int64_t>(0, config_.backprop_depth.value_or(0));
    return loop;
  }

  const LoopingConfig& config_;
  const LoopSampler sampler_;
  const double mean_;  // of the counts
  const std::vector<PlanNode> layers_;
  Policy& policy_;
};

void check_steps(const LoopingConfig& c, const std::vector<LoopSpan>& spans, int64_t n_layer) {
  const LoopSampler sampler = c.sampler();
  const double mean = sampler.mean();
  const double steps = passed_layers(spans, 0, n_layer - 1, [&](const LoopSpan& span) {
    const int64_t count = count_of(c, sampler, mean, span);
    return static_cast<double>(sampler.draws() ? std::max(count, sampler.largest()) : count);
  });
  if (steps > kMostPassed)
    misuse(
        fmt::format("{} with max_loops = {} makes passes of {} steps", shown_groups(c), c.max_loops,
                    human_count(steps)),
        "a smaller max_loops, loop_sampling_rbar or loop_counts, or fewer groups in groups; where "
        "an evaluation has them, other --evaluations");
}

}  // namespace

LoopSampler LoopingConfig::sampler() const {
  LoopSampler s;
  s.strategy = sampling;
  s.max_loops = max_loops;
  s.rbar = rbar.value_or(std::max(1.0, (static_cast<double>(max_loops) + 1) / 2 - 1));
  s.sigma = sigma;
  s.clamp = clamp.value_or(0);
  return s;
}

std::vector<LoopSpan> loop_spans(const LoopingConfig& config, int64_t n_layer) {
  if (config.groups.choice.empty()) return SpanReader(config, n_layer).read(config.groups.list);
  LoopSpan middle;
  middle.first = middle.last = n_layer % 2 == 1 ? n_layer / 2 : n_layer / 2 - 1;
  return {middle};
}

void each_span(const std::vector<LoopSpan>& spans,
               const std::function<void(const LoopSpan&)>& see) {
  for (const LoopSpan& span : spans) {
    see(span);
    each_span(span.inner, see);
  }
}

size_t span_count(const std::vector<LoopSpan>& spans) {
  size_t n = 0;
  each_span(spans, [&](const LoopSpan&) { ++n; });
  return n;
}

std::vector<size_t> loop_places(const LoopingConfig& config, int64_t n_layer) {
  std::vector<size_t> places;
  if (!config.loops()) return places;
  each_span(loop_spans(config, n_layer),
            [&](const LoopSpan& span) { places.push_back(span.place); });
  return places;
}

double effective_layers(const LoopingConfig& c, int64_t n_layer) {
  if (!c.loops()) return static_cast<double>(n_layer);
  const LoopSampler sampler = c.sampler();
  const double mean = sampler.mean();
  return passed_layers(loop_spans(c, n_layer), 0, n_layer - 1, [&](const LoopSpan& span) {
    return sampler.draws() ? mean : static_cast<double>(count_of(c, sampler, mean, span));
  });
}

void validate(const LoopingConfig& c, const BackboneConfig& b) {
  if (!c.loops()) return;
  const std::vector<LoopSpan> spans = loop_spans(c, b.n_layer);
  const size_t groups = span_count(spans);
  if (!c.counts.empty() && c.counts.size() != groups)
    misuse(fmt::format("loop_counts = [{}] has {}, {} has {} group{}", shown_list(c.counts),
                       counted(static_cast<int64_t>(c.counts.size()), "entry", "entries"),
                       shown_groups(c), groups, groups == 1 ? "" : "s"),
           "give one for each group, or loop_counts=None");
  check_steps(c, spans, b.n_layer);
}

void apply(const LoopingConfig& section, DepthPlan& plan, Policy& policy) {
  if (!section.loops()) return;
  const auto n_layer = static_cast<int64_t>(plan.nodes.size());
  const std::vector<LoopSpan> spans = loop_spans(section, n_layer);
  plan.nodes = Grouping(section, plan, policy).nodes(spans, 0, n_layer - 1);
}

std::vector<std::string> remarks(const LoopingConfig& c) {
  std::vector<std::string> out;
  if (!c.loops()) return out;
  const bool draws = c.sampling != LoopSampling::kFixed;
  if (draws && !c.counts.empty())
    out.push_back(
        fmt::format("loop_counts = [{}] count in evaluation: training draws its own, "
                    "but with loop_sampling_strategy = fixed",
                    shown_list(c.counts)));
  if (c.sampler().largest() == 1 && (draws || c.counts.empty()))
    out.emplace_back(
        "loop_groups runs every group once: max_loops and loop_sample_clamp allow no "
        "more");
  if (c.sampling == LoopSampling::kUniform && c.clamp && *c.clamp >= c.max_loops && *c.clamp > 1)
    out.push_back(fmt::format("loop_sample_clamp = {} cuts no draw from 1 to max_loops = {}",
                              *c.clamp, c.max_loops));
  return out;
}

}  // namespace fathom
