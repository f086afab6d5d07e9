#include "fathom/kernels/attention_forms.h"

#include <algorithm>

#include "fathom/kernels/scratch.h"
#include "fathom/kernels/threads.h"

namespace fathom {
namespace {

// Columns of values, or keys, that are worth a unit of their own: whole panels, and parts of a
// chunk.
constexpr int64_t kStrip = 128;

int64_t parts(int64_t n, int64_t size) {
  return (n + size - 1) / size;
}

// One sequence: its keys and values, packed, and scores of a block of its queries.
class Sequence {
 public:
  Sequence(const AttentionProblem& p, int64_t b, bool backward)
      : p_(p), t_(kernels()), b_(b), backward_(backward), small_(is_small(p)) {
    // Each head on whichever thread is free has its own weights until they are added.
    heads_ = !small_ && threads() > 1 ? p.H : 1;
    values_ = p.form.values == AttentionForm::kByHead ? p.H : 1;
    packs_ = backward || p.Q > kFewQueries || p.k_channel_stride == 1;
    const int64_t K = whole(p.K), D = whole(p.D), E = whole(p.E);
    const int64_t rows = std::min(t_.block_rows, parts(p.Q, t_.tile_rows) * t_.tile_rows);
    chunk_stride_ = rows * t_.score_row;
    const int64_t scores = parts(K, t_.depth) * chunk_stride_;
    sizes_[kTurned] = packs_ ? K * p.D : 0;
    sizes_[kStraight] = backward ? p.K * D : 0;
    sizes_[kValues] = !packs_ ? 0 : backward ? K * p.E : p.K * E;
    sizes_[kDKeys] = backward ? p.K * D : 0;
    sizes_[kWeights] = scores;
    sizes_[kSlopes] = backward ? scores : 0;
    const int64_t of_batch = p.form.adds_heads() ? 1 : heads_;
    const int64_t counts[kParts] = {p.H, p.H, values_, p.H, heads_, of_batch};
    int64_t size = 0;
    for (int part = 0; part < kParts; ++part) {
      sizes_[part] = parts(sizes_[part], 16) * 16;  // each on a cache line
      starts_[part] = size;
      size += counts[part] * sizes_[part];
    }
    memory_ = scratch(kSequence, static_cast<size_t>(size));
    pack();
  }

  AttentionHead head(int64_t h) const {
    AttentionHead a = head_of(p_, b_, h);
    a.sigmoid = p_.form.weights == AttentionForm::kSigmoid;
    a.sink = p_.form.sink;
    a.backward = backward_;
    if (p_.form.values == AttentionForm::kMean) a.share = 1.0f / static_cast<float>(p_.H);
    return a;
  }
  // Where the head's, or the added heads', results are.
  float* result(const HeadRows& rows, int64_t h) const {
    return head_at(rows, b_, p_.form.adds_heads() ? 0 : h, p_.E);
  }
  void write_d_keys(int64_t h, const HeadRows& d_k) const {
    float* to = head_at(d_k, b_, h, p_.D);
    for (int64_t k = 0; k < p_.K; ++k)
      std::copy_n(part(kDKeys, h) + k * whole(p_.D), p_.D, to + k * d_k.row_stride);
  }

  // f(block, first head, their number) for the heads whose weights are there at a time.
  template <class F>
  void each_batch(const F& f) const {
    for (int64_t query = 0; query < p_.Q; query += t_.block_rows) {
      AttentionBlock block;
      block.query = query;
      block.rows = std::min(t_.block_rows, p_.Q - query);
      block.chunk_stride = chunk_stride_;
      find_keys(block);
      for (int64_t h = 0; h < p_.H; h += heads_) f(block, h, heads_);
    }
  }
  // Of head h, the one numbered `place` of its batch.
  AttentionBlock of_head(AttentionBlock block, int64_t h, int64_t place) const {
    const bool adds = p_.form.adds_heads();
    block.keys_turned = packs_ ? part(kTurned, h) : nullptr;
    block.keys_straight = part(kStraight, h);
    block.values = packs_ ? part(kValues, values_ == 1 ? 0 : h) : nullptr;
    block.weights = part(kWeights, place);
    block.add = adds && h > 0 && heads_ == 1;
    block.slopes = part(kSlopes, adds ? 0 : place);
    block.d_keys = part(kDKeys, h);
    return block;
  }
  // Weights of the batch's heads become their sum, the first one's.
  void add_weights(const AttentionBlock& block) const {
    for_each_unit(block.rows, small_, [&](int64_t row) {
      for (int64_t k = block.first; k < block.last;) {
        const int64_t chunk = k / t_.depth, last = std::min(block.last, (chunk + 1) * t_.depth);
        const int64_t at = chunk * chunk_stride_ + row * t_.score_row + k % t_.depth;
        float* sum = part(kWeights, 0) + at;
        for (int64_t h = 1; h < heads_; ++h) t_.add(sum, part(kWeights, h) + at, last - k, sum);
        k = last;
      }
    });
  }

  // f(i) for i in [0, n), on free threads.
  template <class F>
  void each(int64_t n, const F& f) const {
    for_each_unit(n, small_, f);
  }
  float* own_scratch(const AttentionHead& a, const AttentionBlock& block) const {
    return scratch(kAttention, t_.block_scratch(a, block));
  }
  const KernelTable& table() const { return t_; }

 private:
  enum Part { kTurned, kStraight, kValues, kDKeys, kWeights, kSlopes, kParts };

  int64_t whole(int64_t n) const { return parts(n, t_.panel) * t_.panel; }
  float* part(Part part, int64_t i) const { return memory_ + starts_[part] + i * sizes_[part]; }

  void pack() const {
    each(p_.H, [&](int64_t h) {
      const AttentionHead a = head_of(p_, b_, h);
      if (packs_) t_.pack(a.k, a.k_channel, a.k_row, a.D, a.K, part(kTurned, h));
      if (!backward_) return;
      t_.pack(a.k, a.k_row, 1, a.K, a.D, part(kStraight, h));
      std::fill_n(part(kDKeys, h), sizes_[kDKeys], 0.0f);
    });
    const int64_t strips = parts(p_.E, backward_ ? t_.depth : kStrip);
    each(packs_ ? values_ * strips : 0, [&](int64_t unit) {
      const AttentionHead a = head_of(p_, b_, unit / strips);
      float* values = part(kValues, unit / strips);
      const int64_t size = backward_ ? t_.depth : kStrip, e = unit % strips * size;
      const int64_t n = std::min(size, a.E - e);
      if (backward_)
        t_.pack(a.v + e, 1, a.v_row, n, a.K, values + whole(a.K) * e);
      else
        t_.pack(a.v + e, a.v_row, 1, a.K, n, values + a.K * e);
    });
  }

  void find_keys(AttentionBlock& block) const {
    block.first = p_.K;
    for (int64_t i = 0; i < block.rows; ++i) {
      const KeyRange r = p_.ranges[b_ * p_.Q + block.query + i];
      if (r.first >= r.last) continue;
      block.first = std::min<int64_t>(block.first, r.first);
      block.last = std::max<int64_t>(block.last, r.last);
    }
    if (block.first >= block.last) block.first = block.last = 0;
  }

  const AttentionProblem& p_;
  const KernelTable& t_;
  int64_t b_;
  bool backward_, small_, packs_ = true;
  int64_t heads_ = 1;   // whose weights are there at a time
  int64_t values_ = 1;  // of different heads
  int64_t chunk_stride_ = 0, sizes_[kParts] = {}, starts_[kParts] = {};
  float* memory_ = nullptr;
};

// As many sequences as there are threads beside one another, the heads of those that are left over.
template <class F>
void each_sequence(const AttentionProblem& p, const F& f) {
  const int64_t together = p.B / threads() * threads();
  for_each_unit(together, is_small(p), f);
  for (int64_t b = together; b < p.B; ++b) f(b);
}

void mix(const Sequence& s, const AttentionProblem& p, const AttentionBlock& block, int64_t first,
         int64_t count, const HeadRows& out) {
  const int64_t strips = parts(p.E, kStrip);
  s.each(count * strips, [&](int64_t unit) {
    const int64_t place = unit / strips, h = first + place, e = unit % strips * kStrip;
    AttentionHead a = s.head(h);
    AttentionBlock of_head = s.of_head(block, h, place);
    a.E = std::min(kStrip, p.E - e);
    a.v += e;
    a.out = s.result(out, h) + e, a.out_row = out.row_stride;
    if (of_head.values != nullptr) of_head.values += p.K * e;
    s.table().block_mix(a, of_head);
  });
}

// Of the heads' values: those of heads that have different ones at a time, of the others one after
// the other.
void spread(const Sequence& s, const AttentionProblem& p, const AttentionBlock& block,
            int64_t first, int64_t count, const HeadRows& d_out, const HeadRows& d_v, int64_t b) {
  const bool by_head = p.form.values == AttentionForm::kByHead;
  const int64_t strips = parts(p.E, kStrip), values = by_head ? count : 1;
  s.each(values * strips, [&](int64_t unit) {
    const int64_t from = by_head ? unit / strips : 0, to = by_head ? from + 1 : count;
    const int64_t e = unit % strips * kStrip;
    for (int64_t place = from; place < to; ++place) {
      const int64_t h = first + place;
      AttentionHead a = s.head(h);
      const AttentionBlock of_head = s.of_head(block, h, place);
      a.E = std::min(kStrip, p.E - e);
      a.d_out = s.result(d_out, h) + e, a.d_out_row = d_out.row_stride;
      a.d_v = head_at(d_v, b, by_head ? h : 0, p.E) + e, a.d_v_row = d_v.row_stride;
      s.table().block_spread(a, of_head, s.own_scratch(a, of_head));
    }
  });
}

void fill_zeros(const HeadRows& x, int64_t b, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i)
    std::fill_n(head_at(x, b, 0, 0) + i * x.row_stride, columns, 0.0f);
}

}  // namespace

void other_attention_forward(const AttentionProblem& p, const HeadRows& out, float* lse) {
  const bool adds = p.form.adds_heads();
  each_sequence(p, [&](int64_t b) {
    const Sequence s(p, b, /*backward=*/false);
    s.each_batch([&](const AttentionBlock& block, int64_t first, int64_t count) {
      s.each(count, [&](int64_t place) {
        const int64_t h = first + place;
        AttentionHead a = s.head(h);
        if (lse != nullptr) a.lse = lse + (b * p.H + h) * p.Q;
        const AttentionBlock of_head = s.of_head(block, h, place);
        s.table().block_weights(a, of_head, s.own_scratch(a, of_head));
      });
      if (!adds) return mix(s, p, block, first, count, out);
      if (first + count < p.H) return;
      if (count > 1) s.add_weights(block);
      mix(s, p, block, 0, 1, out);
    });
  });
}

void other_attention_backward(const AttentionProblem& p, const float* lse, const HeadRows& d_out,
                              const HeadRows& d_q, const HeadRows& d_k, const HeadRows& d_v) {
  const bool adds = p.form.adds_heads();
  const int64_t widths = p.form.values == AttentionForm::kByHead ? p.H * p.E : p.E;
  each_sequence(p, [&](int64_t b) {
    const Sequence s(p, b, /*backward=*/true);
    fill_zeros(d_v, b, p.K, widths);
    const auto slopes = [&](AttentionHead a, const AttentionBlock& block, int64_t h) {
      a.d_out = s.result(d_out, h), a.d_out_row = d_out.row_stride;
      s.table().block_slopes(a, block, s.own_scratch(a, block));
    };
    s.each_batch([&](const AttentionBlock& block, int64_t first, int64_t count) {
      if (adds && first == 0)
        s.each(parts(block.last, kStrip) - block.first / kStrip, [&](int64_t i) {
          AttentionBlock strip = s.of_head(block, 0, 0);
          const int64_t begin = (block.first / kStrip + i) * kStrip;
          strip.first = std::max(block.first, begin);
          strip.last = std::min(block.last, begin + kStrip);
          slopes(s.head(0), strip, 0);
        });
      s.each(count, [&](int64_t place) {
        const int64_t h = first + place;
        AttentionHead a = s.head(h);
        const AttentionBlock of_head = s.of_head(block, h, place);
        if (!adds) slopes(a, of_head, h);
        a.lse = const_cast<float*>(lse) + (b * p.H + h) * p.Q;  // only read
        a.d_q = head_at(d_q, b, h, p.D), a.d_q_row = d_q.row_stride;
        s.table().block_backward(a, of_head, s.own_scratch(a, of_head));
      });
      if (!adds) return spread(s, p, block, first, count, d_out, d_v, b);
      if (first + count < p.H) return;
      if (count > 1) s.add_weights(block);
      spread(s, p, block, 0, 1, d_out, d_v, b);
    });
    s.each(p.H, [&](int64_t h) { s.write_d_keys(h, d_k); });
  });
}

}  // namespace fathom
