"""From landmarks and pictures to head geometry: the residuals, the stages and the solver behind `recon.fit`."""
