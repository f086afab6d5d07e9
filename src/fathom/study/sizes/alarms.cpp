// What sizes warn of.
#include <fmt/format.h>

#include <cmath>
#include <functional>

#include "fathom/study/sizes/size_facts.h"

namespace fathom {
namespace {

constexpr double kSteepGrowth = 1.5;

struct NumberType {
  const char* name;
  double largest;
  int bits;  // of precision; an update below 2^-bits of the carry is lost
};
constexpr NumberType kFloat16 = {"float16", 65504, 11};
constexpr NumberType kBFloat16 = {"bfloat16", 3.3895313892515355e38, 8};
constexpr NumberType kFloat32 = {"float32", 3.4028234663852886e38, 24};

struct Where {
  std::string layers;  // "layer 7 and 4 later ones"; empty: none
  bool several = false;
};

Where steps_where(const SizeFacts& facts, const std::function<bool(const StepSizes&)>& holds) {
  const StepSizes* first = nullptr;
  int64_t more = 0;
  for (const StepSizes& step : facts.steps) {
    if (!holds(step)) continue;
    if (first == nullptr)
      first = &step;
    else
      ++more;
  }
  if (first == nullptr) return {};
  const std::string others =
      more == 0 ? "" : fmt::format(" and {} later one{}", more, more == 1 ? "" : "s");
  return {fmt::format("layer {}{}", first->name, others), more > 0};
}

void add_overflows(const SizeFacts& facts, std::vector<Alarm>& alarms) {
  for (const NumberType& type : {kFloat16, kBFloat16, kFloat32}) {
    const auto overflows = [&](const StepSizes& step) { return step.after.largest > type.largest; };
    const std::string where = steps_where(facts, overflows).layers;
    if (where.empty()) continue;
    double most = 0;
    for (const StepSizes& step : facts.steps)
      if (step.after.largest > most) most = step.after.largest;
    alarms.push_back(
        {"overflow", fmt::format("the carry after {} reaches {:.3g}, and {} ends at {:.5g}", where,
                                 most, type.name, type.largest)});
  }
}

void add_absorptions(const SizeFacts& facts, std::vector<Alarm>& alarms) {
  for (const NumberType& type : {kFloat32, kBFloat16}) {
    const double part = std::ldexp(1.0, -type.bits);
    const Where where = steps_where(facts, [&](const StepSizes& step) {
      return step.adds && step.before.rms * part > step.delta.rms;
    });
    if (where.layers.empty()) continue;
    alarms.push_back(
        {"absorption",
         fmt::format("what {} add{} is less than 2^-{} of the carry: in a {} carry it is lost",
                     where.layers, where.several ? "" : "s", type.bits, type.name)});
  }
}

bool is_below(const Size& carry, double eps, bool centred) {
  const double size = centred ? carry.sd : carry.rms;
  return eps > 0 && size * size < eps;
}

void add_collapses(const SizeFacts& facts, std::vector<Alarm>& alarms) {
  const auto add = [&](const char* norm, const Where& where) {
    if (where.layers.empty()) return;
    alarms.push_back(
        {"collapse", fmt::format("the carry that {} {} reads is smaller than the root of the "
                                 "norm's eps, which then decides its size",
                                 norm, where.layers)});
  };
  add("the norm of", steps_where(facts, [](const StepSizes& step) {
        return is_below(step.before, step.norm_eps, step.centred);
      }));
  add("the norm of the readout behind", steps_where(facts, [](const StepSizes& step) {
        return is_below(step.after, step.read_eps, step.read_centred);
      }));
}

}  // namespace

std::vector<Alarm> alarms_of(const SizeFacts& facts) {
  std::vector<Alarm> alarms;
  add_overflows(facts, alarms);
  add_absorptions(facts, alarms);
  add_collapses(facts, alarms);
  const Growth growth = growth_of(sizes_by_depth(facts));
  const bool steep = growth.ratio >= kSteepGrowth || growth.late_ratio >= kSteepGrowth;
  if (growth.kind == GrowthKind::kGeometric && steep)
    alarms.push_back(
        {"growth", fmt::format("the carry grows by {:.3g} a step, at the end by {:.3g}",
                               growth.ratio, growth.late_ratio)});
  return alarms;
}

}  // namespace fathom
