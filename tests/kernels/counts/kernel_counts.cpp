// Each kernel once, on numbers that are always the same, for callgrind to count the instructions of
// each `count_` function (tests/scripts/instruction_counts.sh).
#include <vector>

#include "fathom/base/random.h"
#include "fathom/kernels/attention.h"
#include "fathom/kernels/gemm.h"
#include "fathom/kernels/norm.h"
#include "fathom/kernels/optimizer.h"
#include "fathom/kernels/random_field.h"
#include "fathom/kernels/readout.h"

namespace {

using namespace fathom;  // NOLINT(google-build-using-namespace): the counted functions are C's
using Floats = std::vector<float>;

Floats draw(int64_t count) {
  static uint64_t next = 0;
  const RandomStream stream(1, "counts");
  Floats out;
  for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<float>(stream.normal(next++)));
  return out;
}

// With a part of a tile, of a panel and of a k-block left over.
constexpr int64_t kM = 61, kK = 450, kN = 150;
constexpr int64_t kB = 2, kT = 70, kH = 2, kD = 24, kC = kH * kD;

struct Data {
  Floats a = draw(kM * kK), b = draw(kK * kN), bias = draw(kK), c = draw(kM * kN), pre = c;
  Floats d_a = a, d_b = b, sums = draw(2 * kK), means = draw(kM), scales = draw(kM);
  Floats qkv = draw(kB * kT * 3 * kC), d_qkv = qkv, heads = draw(kB * kT * kC);
  Floats lse = draw(kB * kH * kT);
  std::vector<KeyRange> ranges;
  std::vector<int64_t> ids = std::vector<int64_t>(size_t(kM), 3);
  std::vector<RowReading> readings = std::vector<RowReading>(size_t(kM));
  PackedMatrix packed;
  Floats turned_keys = draw(kB * kC * kT);

  Data() { packed.pack(B()); }
  Matrix A() const { return row_major(a.data(), kM, kK); }
  Matrix B() const { return row_major(b.data(), kK, kN); }
  static HeadRows third(Floats& x, int64_t i) { return {x.data() + i * kC, kT * 3 * kC, 3 * kC}; }
  HeadRows out() { return {heads.data(), kT * kC, kC}; }
  AttentionProblem causal(int64_t queries) {
    AttentionProblem p;
    p.B = kB, p.Q = queries, p.K = kT, p.H = kH, p.D = p.E = kD;
    p.q = third(qkv, 0), p.k = third(qkv, 1), p.v = third(qkv, 2);
    ranges.clear();
    for (int64_t sequence = 0; sequence < kB; ++sequence)
      for (int64_t q = kT - queries; q < kT; ++q)
        ranges.push_back({0, static_cast<int32_t>(q + 1)});
    p.ranges = ranges.data();
    return p;
  }
  NormProblem norm() const {
    NormProblem p;
    p.x = a.data(), p.rows = kM, p.columns = kK, p.weight = bias.data(), p.bias = bias.data();
    return p;
  }
  ReadoutProblem readout() const {
    ReadoutProblem p;
    p.x = A();
    p.head = row_major(b.data(), kN, kK);
    p.ids = ids.data();
    p.temperature = 2;
    return p;
  }
};

Data& data() {
  static Data all;
  return all;
}

}  // namespace

extern "C" {

[[gnu::noinline]] void count_product_with_gelu() {
  Data& d = data();
  GemmFinish finish;
  finish.bias = d.bias.data();
  finish.kind = GemmFinish::kGelu;
  finish.pre = d.pre.data();
  finish.other_stride = kN;
  gemm(d.A(), d.B(), d.c.data(), kN, finish);
}

[[gnu::noinline]] void count_product_of_turned() {
  Data& d = data();
  gemm(row_major(d.c.data(), kM, kN).transposed(), d.A(), d.d_b.data(), kK);
}

[[gnu::noinline]] void count_packed_times_a_row() {
  Data& d = data();
  gemm(row_major(d.a.data(), 1, kK), d.packed, d.c.data(), kN);
}

[[gnu::noinline]] void count_attention() {
  attention_forward(data().causal(kT), data().out(), data().lse.data());
}

[[gnu::noinline]] void count_attention_of_one_query() {
  Data& d = data();
  AttentionProblem p = d.causal(1);
  p.k = {d.turned_keys.data(), kC * kT, 1};
  p.k_channel_stride = kT;
  attention_forward(p, d.out(), nullptr);
}

[[gnu::noinline]] void count_attention_backward() {
  Data& d = data();
  attention_backward(d.causal(kT), d.lse.data(), d.out(), Data::third(d.d_qkv, 0),
                     Data::third(d.d_qkv, 1), Data::third(d.d_qkv, 2));
}

[[gnu::noinline]] void count_norm() {
  Data& d = data();
  norm_forward(d.norm(), d.d_a.data(), d.means.data(), d.scales.data());
}

[[gnu::noinline]] void count_norm_backward() {
  Data& d = data();
  norm_backward(d.norm(), d.means.data(), d.scales.data(), d.a.data(), d.d_a.data(), d.sums.data(),
                d.sums.data() + kK);
}

[[gnu::noinline]] void count_readout() {
  Data& d = data();
  const Floats slopes(size_t(kM), 1.0f);
  read_rows_and_slopes(d.readout(), slopes.data(), d.readings.data(),
                       {d.d_a.data(), d.d_b.data(), d.sums.data()});
}

[[gnu::noinline]] void count_adamw() {
  Data& d = data();
  AdamWStep step;
  step.beta1 = 0.9, step.beta2 = 0.99, step.step_size = 1e-3, step.eps = 1e-8;
  adamw(step, d.b.data(), d.a.data(), d.d_a.data(), d.d_b.data(), kM * kK);
  sum_of_squares(d.b.data(), kK * kN);
}

[[gnu::noinline]] void count_dropout() {
  Data& d = data();
  const std::vector<uint64_t> streams(size_t(kM), 2), firsts(size_t(kM), 3);
  drop_rows({0.2, 1, streams.data(), firsts.data()}, d.a.data(), kM, kK, d.d_a.data());
}

}  // extern "C"

int main() {
  data();
  count_product_with_gelu();
  count_product_of_turned();
  count_packed_times_a_row();
  count_attention();
  count_attention_of_one_query();
  count_attention_backward();
  count_norm();
  count_norm_backward();
  count_readout();
  count_adamw();
  count_dropout();
}
