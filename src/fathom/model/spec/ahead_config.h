// Looking ahead: one model that predicts the token s places further for any s up to S, told which
// by the first token of its sequence (data/shift.h).
#pragma once

#include "fathom/config/fields.h"
#include "fathom/data/shift.h"
#include "fathom/model/spec/backbone_config.h"

namespace fathom {

struct AheadConfig {
  bool predict_ahead = false;
  int64_t max_shift = 10;  // S
  double label_shift_prob = 0.8;
  ShiftDist shift_dist = ShiftDist::kGeometric;
  double shift_zipf_a = 1.5;
  int64_t shift = 1;  // of an evaluation's rows; 0: they have no shift token
  bool shift_losses = true;

  // How often training rows have which shift; max_shift = 0 where nothing looks ahead.
  ShiftOdds odds() const;
  // Rows that the token table has for shifts, behind those of the text.
  int64_t shift_tokens() const { return predict_ahead ? max_shift : 0; }
  // V0, the ids of text, of a table with so many rows.
  int64_t text_vocab(int64_t rows) const { return rows - shift_tokens(); }
};

void add_fields(FieldList& list, AheadConfig& config);
// Throws Error(kUsage) for a shift beyond the largest one, or beyond the block.
void validate(const AheadConfig& config, const BackboneConfig& backbone);

}  // namespace fathom
