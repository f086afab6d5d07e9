#include "fathom/kernels/simd/functions.h"
#include "fathom/kernels/simd/tile.h"

namespace fathom {
namespace FATHOM_ISA {

const KernelTable table = {kPanel,
                           kDepth,
                           kTileRows,
                           pack,
                           gemm_block,
                           attention_scratch,
                           attention_forward,
                           attention_backward,
                           kScoreBlockRows,
                           kRowStride,
                           block_scratch,
                           block_weights,
                           block_mix,
                           block_slopes,
                           block_backward,
                           block_spread,
                           norm_forward,
                           norm_backward,
                           add_rows,
                           add,
                           read_row,
                           slope_row,
                           sum_of_squares,
                           adamw,
                           dropout};

}  // namespace FATHOM_ISA
}  // namespace fathom
