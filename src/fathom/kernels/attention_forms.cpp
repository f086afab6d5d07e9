#include "fathom/kernels/attention_forms.h"

#include <algorithm>

#include "fathom/kernels/scratch.h"
#include "fathom/kernels/threads.h"

namespace fathom {
namespace {

// Columns of values, or keys, that are worth a unit of their own: whole panels, and parts of a
// chunk.
constexpr int64_t kStrip = 128;
// Multiplications of a block that are worth having threads wait for one another.
constexpr int64_t kMany = 1 << 23;

int64_t parts(int64_t n, int64_t size) {
  return (n + size - 1) / size;
}

// One sequence: its keys and values, packed, and what is made of a block of its queries.
class Sequence {
 public:
  Sequence(const AttentionProblem& p, int64_t b, bool backward)
      : p_(p), t_(kernels()), b_(b), backward_(backward), small_(is_small(p)) {
    packs_ = backward || p.Q > kFewQueries || p.k_channel_stride == 1;
    // Forward, blocks are on several threads if there are any; else heads are, which then have
    // weights of their own until they are added.
    if (backward || p.Q <= t_.block_rows) {
      const int64_t outputs = adds() ? p.E : p.H * p.E;
      const bool many = p.K * (p.H * p.D + outputs) * std::min(p.Q, t_.block_rows) >= kMany;
      small_ = small_ || threads() == 1 || (packs_ && !many);
      if (!small_) heads_ = p.H;
    }
    const int64_t K = whole(p.K), D = whole(p.D), E = whole(p.E);
    const int64_t rows = std::min(t_.block_rows, parts(p.Q, t_.tile_rows) * t_.tile_rows);
    chunk_stride_ = rows * t_.score_row;
    scores_ = parts(K, t_.depth) * chunk_stride_;
    const int64_t values = by_head() ? p.H : 1;
    const int64_t sizes[kParts] = {packs_ ? K * p.D : 0, backward ? p.K * D : 0,
                                   !packs_    ? 0
                                   : backward ? K * p.E
                                              : p.K * E,
                                   backward ? p.K * D : 0, heads_ > 1 ? 2 * scores_ : 0};
    const int64_t counts[kParts] = {p.H, p.H, values, p.H, heads_};
    int64_t size = 0;
    for (int part = 0; part < kParts; ++part) {
      sizes_[part] = parts(sizes[part], 16) * 16;  // each on a cache line
      starts_[part] = size;
      size += counts[part] * sizes_[part];
    }
    memory_ = scratch(kSequence, static_cast<size_t>(size));
    pack(values);
  }

  AttentionHead head(int64_t h) const {
    AttentionHead a = head_of(p_, b_, h);
    a.sigmoid = p_.form.weights == AttentionForm::kSigmoid;
    a.sink = p_.form.sink;
    a.backward = backward_;
    if (p_.form.values == AttentionForm::kMean) a.share = 1.0f / static_cast<float>(p_.H);
    return a;
  }

  int64_t blocks() const { return parts(p_.Q, t_.block_rows); }
  // Head h of that block, the one numbered `place` of those that are there at a time. For the
  // calling thread, if there is one head at a time.
  AttentionBlock block(int64_t number, int64_t h, int64_t place) const {
    AttentionBlock block;
    block.query = number * t_.block_rows;
    block.rows = std::min(t_.block_rows, p_.Q - block.query);
    find_keys(block);
    block.chunk_stride = chunk_stride_;
    block.keys_turned = packs_ ? part(kTurned, h) : nullptr;
    block.keys_straight = part(kStraight, h);
    block.values = packs_ ? part(kValues, by_head() ? h : 0) : nullptr;
    float* const scores =
        heads_ > 1 ? part(kOfHead, 0) : scratch(kScores, static_cast<size_t>(2 * scores_));
    block.weights = scores + place * sizes_[kOfHead];
    block.add = adds() && h > 0 && heads_ == 1;
    block.slopes = scores + (adds() ? 0 : place) * sizes_[kOfHead] + scores_;
    block.d_keys = part(kDKeys, h);
    return block;
  }

  // f(first head, how many are there at a time)
  template <class F>
  void each_batch(const F& f) const {
    for (int64_t h = 0; h < p_.H; h += heads_) f(h, heads_);
  }
  // f(i) for i in [0, n), on free threads.
  template <class F>
  void each(int64_t n, const F& f) const {
    for_each_unit(n, small_, f);
  }
  // f(the first key, the one after the last) of the block's keys, on free threads.
  template <class F>
  void each_strip(const AttentionBlock& block, const F& f) const {
    if (heads_ == 1) return f(block.first, block.last);
    each(parts(block.last, kStrip) - block.first / kStrip, [&](int64_t i) {
      const int64_t begin = (block.first / kStrip + i) * kStrip;
      f(std::max(block.first, begin), std::min(block.last, begin + kStrip));
    });
  }

  // Weights of the heads that are there become their sum, the first one's: of a row's keys [first,
  // last).
  void add_weights(int64_t row, int64_t first, int64_t last) const {
    while (first < last) {
      const int64_t chunk = first / t_.depth, end = std::min(last, (chunk + 1) * t_.depth);
      const int64_t at = chunk * chunk_stride_ + row * t_.score_row + first % t_.depth;
      float* sum = part(kOfHead, 0) + at;
      for (int64_t h = 1; h < heads_; ++h) t_.add(sum, part(kOfHead, h) + at, end - first, sum);
      first = end;
    }
  }

  void write_d_keys(int64_t h, const HeadRows& d_k) const {
    float* to = head_at(d_k, b_, h, p_.D);
    for (int64_t k = 0; k < p_.K; ++k)
      std::copy_n(part(kDKeys, h) + k * whole(p_.D), p_.D, to + k * d_k.row_stride);
  }

  float* own_scratch(const AttentionHead& a, const AttentionBlock& block) const {
    return scratch(kAttention, t_.block_scratch(a, block));
  }
  const KernelTable& table() const { return t_; }
  bool adds() const { return p_.form.adds_heads(); }
  bool by_head() const { return p_.form.values == AttentionForm::kByHead; }
  // Where the result of the head, or of the heads that are added, is.
  float* result(const HeadRows& rows, int64_t h) const {
    return head_at(rows, b_, adds() ? 0 : h, p_.E);
  }

 private:
  enum Part { kTurned, kStraight, kValues, kDKeys, kOfHead, kParts };

  int64_t whole(int64_t n) const { return parts(n, t_.panel) * t_.panel; }
  float* part(Part part, int64_t i) const { return memory_ + starts_[part] + i * sizes_[part]; }

  void pack(int64_t values) const {
    if (!packs_) return;
    const int64_t size = backward_ ? t_.depth : kStrip, strips = parts(p_.E, size);
    each(p_.H + values * strips, [&](int64_t unit) {
      if (unit < p_.H) return pack_keys(unit);
      const int64_t v = (unit - p_.H) / strips, e = (unit - p_.H) % strips * size;
      const AttentionHead a = head_of(p_, b_, v);
      const int64_t n = std::min(size, a.E - e);
      if (backward_)
        t_.pack(a.v + e, 1, a.v_row, n, a.K, part(kValues, v) + whole(a.K) * e);
      else
        t_.pack(a.v + e, a.v_row, 1, a.K, n, part(kValues, v) + a.K * e);
    });
  }
  void pack_keys(int64_t h) const {
    const AttentionHead a = head_of(p_, b_, h);
    t_.pack(a.k, a.k_channel, a.k_row, a.D, a.K, part(kTurned, h));
    if (!backward_) return;
    t_.pack(a.k, a.k_row, 1, a.K, a.D, part(kStraight, h));
    std::fill_n(part(kDKeys, h), sizes_[kDKeys], 0.0f);
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
  int64_t heads_ = 1;  // whose weights are there at a time
  int64_t chunk_stride_ = 0, scores_ = 0, sizes_[kParts] = {}, starts_[kParts] = {};
  float* memory_ = nullptr;
};

// Sequences beside one another, or where they are fewer than threads what each is made of.
template <class F>
void each_sequence(const AttentionProblem& p, const F& f) {
  for_each_unit(p.B, is_small(p) || p.B < threads(), f);
}

void mix(const Sequence& s, const AttentionProblem& p, int64_t number, int64_t first, int64_t count,
         const HeadRows& out) {
  const int64_t strips = parts(p.E, kStrip);
  s.each(count * strips, [&](int64_t unit) {
    const int64_t place = unit / strips, h = first + place, e = unit % strips * kStrip;
    AttentionHead a = s.head(h);
    AttentionBlock block = s.block(number, h, place);
    a.E = std::min(kStrip, p.E - e);
    a.v += e;
    a.out = s.result(out, h) + e, a.out_row = out.row_stride;
    if (block.values != nullptr) block.values += p.K * e;
    s.table().block_mix(a, block);
  });
}

// Gradients of values from the weights of heads [first, first + count), one head after the other.
void spread(const Sequence& s, const AttentionProblem& p, int64_t number, int64_t first,
            int64_t count, const HeadRows& d_out, const HeadRows& d_v, int64_t b) {
  s.each_strip(s.block(number, first, 0), [&](int64_t first_key, int64_t last_key) {
    for (int64_t place = 0; place < (s.adds() ? 1 : count); ++place) {
      AttentionBlock block = s.block(number, first + place, place);
      block.first = first_key, block.last = last_key;
      for (int64_t row = 0; row < block.rows && s.adds() && count > 1; ++row)
        s.add_weights(row, first_key, last_key);
      for (int64_t e = 0; e < p.E; e += kStrip) {
        AttentionHead a = s.head(first + place);
        a.E = std::min(kStrip, p.E - e);
        a.d_out = s.result(d_out, first + place) + e, a.d_out_row = d_out.row_stride;
        a.d_v = head_at(d_v, b, s.by_head() ? first + place : 0, p.E) + e;
        a.d_v_row = d_v.row_stride;
        s.table().block_spread(a, block, s.own_scratch(a, block));
      }
    }
  });
}

void fill_zeros(const HeadRows& x, int64_t b, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i)
    std::fill_n(head_at(x, b, 0, 0) + i * x.row_stride, columns, 0.0f);
}

}  // namespace

void other_attention_forward(const AttentionProblem& p, const HeadRows& out, float* lse) {
  each_sequence(p, [&](int64_t b) {
    const Sequence s(p, b, /*backward=*/false);
    s.each(s.blocks(), [&](int64_t number) {
      s.each_batch([&](int64_t first, int64_t count) {
        s.each(count, [&](int64_t place) {
          AttentionHead a = s.head(first + place);
          if (lse != nullptr) a.lse = lse + (b * p.H + first + place) * p.Q;
          const AttentionBlock block = s.block(number, first + place, place);
          s.table().block_weights(a, block, s.own_scratch(a, block));
        });
        if (!s.adds()) return mix(s, p, number, first, count, out);
        if (first + count < p.H) return;
        const AttentionBlock block = s.block(number, 0, 0);
        if (count > 1)
          s.each(block.rows, [&](int64_t row) { s.add_weights(row, block.first, block.last); });
        mix(s, p, number, 0, 1, out);
      });
    });
  });
}

void other_attention_backward(const AttentionProblem& p, const float* lse, const HeadRows& d_out,
                              const HeadRows& d_q, const HeadRows& d_k, const HeadRows& d_v) {
  each_sequence(p, [&](int64_t b) {
    const Sequence s(p, b, /*backward=*/true);
    fill_zeros(d_v, b, p.K, s.by_head() ? p.H * p.E : p.E);
    const auto slopes = [&](int64_t h, const AttentionBlock& block) {
      AttentionHead a = s.head(h);
      a.d_out = s.result(d_out, h), a.d_out_row = d_out.row_stride;
      s.table().block_slopes(a, block, s.own_scratch(a, block));
    };
    const auto of_batch = [&](int64_t number, int64_t first, int64_t count) {
      if (s.adds() && first == 0)
        s.each_strip(s.block(number, 0, 0), [&](int64_t first_key, int64_t last_key) {
          AttentionBlock block = s.block(number, 0, 0);
          block.first = first_key, block.last = last_key;
          slopes(0, block);
        });
      s.each(count, [&](int64_t place) {
        const int64_t h = first + place;
        AttentionHead a = s.head(h);
        const AttentionBlock block = s.block(number, h, place);
        if (!s.adds()) slopes(h, block);
        a.lse = const_cast<float*>(lse) + (b * p.H + h) * p.Q;  // only read
        a.d_q = head_at(d_q, b, h, p.D), a.d_q_row = d_q.row_stride;
        s.table().block_backward(a, block, s.own_scratch(a, block));
      });
      if (!s.adds()) spread(s, p, number, first, count, d_out, d_v, b);
      if (s.adds() && first + count == p.H) spread(s, p, number, 0, count, d_out, d_v, b);
    };
    for (int64_t number = 0; number < s.blocks(); ++number)
      s.each_batch([&](int64_t first, int64_t count) { of_batch(number, first, count); });
    s.each(p.H, [&](int64_t h) { s.write_d_keys(h, d_k); });
  });
}

}  // namespace fathom
