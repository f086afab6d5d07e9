// Lines of a training log as the notebook on wirings has them: `--log_format=notebook`. Whoever
// plots such logs takes the words apart at white space: "@", the step, a stream's name, its value.
// Steps count from 0. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fathom {

struct NotebookStep {
  int64_t step = 0;
  double train = 0;                 // loss of the answer
  double all = 0;                   // what is optimised
  double confidence = 0;            // the part of it that is no loss of an answer, signed
  double target = 0;                // where tokens halt, the loss of the answer; else 0
  double early_stop = 0;            // share of positions that halt before the last layer
  std::vector<double> early_stops;  // by layer; 0 where nothing halts
  double learning_rate = 0, gradient_norm = 0;  // before clipping
  double milliseconds = 0, tokens_per_second = 0;
  double flops = 0;         // notebook_flops()
  int64_t batch_reuse = 1;  // how often the step's data was given so far, this time included
};

// "@ 3 train 4.1234 , allloss: 49.1000, confloss: 0.0000, targetloss: 0.0000, earlystop: 0.000,
// earlystopdict: [0.00, 0.00], lr:6.0000e-04, norm:1.2345, dt: 411.20ms, tok/sec: 318758.00,
// flops:33.38, batch-reuse:1", in one line. The comma after the first value stands by itself, or it
// would be a part of the value.
std::string notebook_line(const NotebookStep& step);
// "@ 2000 val 4.3210"
std::string notebook_val_line(int64_t step, double loss);

// The log's "flops", called TFLOP/s there: (6 N + 12 L H (C / H) T) T tokens / (1000 seconds 1e12).
// It is T / 1000 of the TFLOP/s of N parameters, each used once by a token; so it counts a shared
// layer once, however often that is computed. N: all that are stored, without position tables.
struct NotebookModel {
  int64_t parameters = 0, n_layer = 0, n_head = 0, head_width = 0, block_size = 0;
};
double notebook_flops(const NotebookModel& model, int64_t tokens, double seconds);

// Of one layer, on a text: means over positions of the standard deviation over channels (C - 1).
struct NotebookSizes {
  double previous = 0;  // the carry after the layer
  double middle = 0;    // half way; what came in, where there is no attention
  double next = 0;      // the carry as the next layer, or the head, is given it
  double delta = 0;     // what the layer added
};
std::string notebook_size_line(const NotebookSizes& sizes);  // "SIZE COMPARISON prev ..."
std::string notebook_info_line(const NotebookSizes& sizes);  // "INFO nextres ..."
// "attn_hist -1.5<3,10,20,18,9,4>2.25": ends, and counts of bins of equal width.
std::string notebook_histogram_line(const std::string& name, double low, double high,
                                    const std::vector<int64_t>& counts);

}  // namespace fathom
