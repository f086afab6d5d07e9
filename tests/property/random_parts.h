// Parts of every kind, for plans of any structure. What shrinks is GPT-2's.
#pragma once

#include <rapidcheck.h>

#include "fathom/model/spec/depth_plan.h"

namespace fathom::property {

// An integer in [from, to].
inline int64_t any(int64_t from, int64_t to) {
  return *rc::gen::inRange<int64_t>(from, to + 1);
}
inline bool one_in(int64_t n) {
  return any(1, n) == n;  // shrinks to no
}
template <class E>
E any_of(std::initializer_list<E> kinds) {
  return *(kinds.begin() + any(0, int64_t(kinds.size()) - 1));
}
inline std::optional<bool> any_bias() {
  return any_of<std::optional<bool>>({{}, false, true});
}

inline AttentionSpec any_attention(int instance) {
  using A = AttentionSpec;
  A a(instance);
  if (!one_in(2)) return a;
  a.value = any_of({A::kLinear, A::kConcat, A::kSum, A::kMean});
  a.scores = any_of({A::kSoftmax, A::kSigmoid, A::kUniform, A::kFixed});
  a.output_projection = a.value == A::kConcat || !one_in(3);
  a.bias = any_bias();
  const bool may_sink = a.scores == A::kSoftmax || a.scores == A::kUniform;
  a.mask = any_of({A::kCausal, A::kStrict, may_sink ? A::kSink : A::kStrict});
  return a;
}

// Smooth ones: gradients are compared with differences.
inline MlpSpec any_mlp(int instance) {
  using M = MlpSpec;
  M m(instance);
  if (!one_in(2)) return m;
  m.act = any_of({M::kOfBackbone, M::kGelu, M::kGeluTanh, M::kSilu, M::kSigmoid, M::kTanh});
  m.gated = one_in(2);
  m.hidden = any_of({4.0, 1.0, 8.0 / 3});
  m.bias = any_bias();
  return m;
}

// With a kind: one without would let deep streams grow beyond what tolerances are made for.
inline NormSpec any_norm(NormSpec n) {
  if (!one_in(2)) return n;
  n.kind = any_of({NormSpec::kLayer, NormSpec::kRms});
  n.weight = !one_in(2);
  n.bias = any_bias();
  if (one_in(2)) n.eps = 1e-3;
  return n;
}

// `instance`: a position table's or a norm's of its own.
inline Injection any_injection(int instance) {
  using I = Injection;
  I i{any_of({I::kPositionTable, I::kScale, I::kNorm, I::kNoise}), instance, !one_in(2)};
  if (i.kind == I::kPositionTable && one_in(2)) i.meeting = I::kMultiply;
  if (i.kind == I::kScale) i.amount = 0.7;
  if (i.kind == I::kNoise) i.amount = 0.2;
  if (i.kind == I::kNorm) i.norm = any_norm({NormId::kDoor, instance});
  return i;
}

inline std::vector<Injection> any_stem() {
  std::vector<Injection> door = StemSpec().door;
  if (!one_in(2)) return door;
  if (one_in(3)) door.pop_back();  // no positions
  if (one_in(2)) door.back().meeting = Injection::kMultiply;
  for (int64_t n = any(0, 2); n > 0; --n) door.push_back(any_injection(int(500 + n)));
  return door;
}

}  // namespace fathom::property
